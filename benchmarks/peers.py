"""panloom beside GDAL, OTB and orthority: time, memory, and quality against the known truth, in one run.

    python benchmarks/scene.py SCENES/4096 --size 4096      and so on for 8192 and 16384
    python benchmarks/peers.py SCENES --group plain --group zstd --repeat 5 --report benchmarks/results

The jobs of a group run in turn, A B C A B C ..., after a warm-up round that is not counted, so that a
machine that slows down slows all of them. Each runs under `/usr/bin/time`; its CPU seconds are the number
to compare, since wall time needs an idle machine (the load before each run is kept in the JSON). The peers
are what a user would install: `gdal_pansharpen.py` and `otbcli_BundleToPerfectSensor` from the system,
`oty` from PyPI (`--oty`).

Quality is that of the 8192 scene at the truth crop of 2048 x 2048, 32 pixels cut at its borders. "true
weights" marks jobs that are told the weights that PAN was made with, which nobody knows of a real sensor.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import rasterio
import torch
from rasterio.enums import Resampling
from rasterio.windows import Window, from_bounds

from panloom import metrics

BANDS = 4
BORDER = 32
TILED = ("TILED=YES", "BLOCKXSIZE=512", "BLOCKYSIZE=512", "BIGTIFF=IF_SAFER")
ZSTD = ("COMPRESS=ZSTD", "ZSTD_LEVEL=1", "PREDICTOR=2")
WEIGHTS = ("0.10", "0.30", "0.33", "0.27")
TRUE = "true weights"


@dataclass(frozen=True)
class Job:
    """One command that makes one image."""

    name: str
    command: tuple[str, ...]
    output: Path
    size: int
    note: str = ""
    environment: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Run:
    """What `/usr/bin/time` said of one run of a job; `error` is the end of its messages where it failed."""

    name: str
    wall_s: float
    cpu_s: float
    peak_mb: float
    output_mb: float
    load: float
    error: str = ""


@dataclass(frozen=True)
class Quality:
    """Indices of one result against the truth crop."""

    name: str
    ergas: float
    sam_deg: float
    bias_percent: tuple[float, ...]


@dataclass
class Group:
    """The jobs that are compared with each other, and what came out."""

    name: str
    jobs: tuple[Job, ...]
    repeat: int
    runs: list[Run] = field(default_factory=list)
    quality: dict[str, Quality] = field(default_factory=dict)


@dataclass(frozen=True)
class Bench:
    """Where things are."""

    scenes: Path
    work: Path
    panloom: tuple[str, ...]
    oty: str
    threads: int

    def inputs(self, size: int) -> tuple[str, str]:
        """Paths of PAN and MS."""
        return str(self.scenes / str(size) / "pan.tif"), str(self.scenes / str(size) / "ms.tif")

    def output(self, name: str) -> Path:
        """Where a job of that name writes."""
        return self.work / f"{''.join(c if c.isalnum() else '-' for c in name)}.tif"


def _options(values: Sequence[str], flag: str = "-co") -> list[str]:
    return [part for value in values for part in (flag, value)]


def gdal(bench: Bench, size: int, *, zstd: bool = False, weights: bool = True) -> Job:
    """Weighted Brovey by GDAL; its default weights are equal."""
    note = TRUE if weights else "equal weights"
    name = f"GDAL Brovey cubic{' zstd' if zstd else ''}, {note} ({size})"
    output = bench.output(name)
    create = (*TILED, *ZSTD, f"NUM_THREADS={bench.threads}") if zstd else TILED
    command = ["gdal_pansharpen.py", "-q", "-threads", str(bench.threads), "-r", "cubic"]
    command += _options(WEIGHTS, "-w") if weights else []
    return Job(name, (*command, *_options(create), *bench.inputs(size), str(output)), output, size, note)


def otb(bench: Bench, size: int, method: str) -> Job:
    """Ratio component substitution (rcs) or Bayes by the Orfeo ToolBox."""
    name = f"OTB {method} ({size})"
    output, (pan, ms) = bench.output(name), bench.inputs(size)
    target = f"{output}?" + "".join(f"&gdal:co:{value}" for value in TILED)
    command = ("otbcli_BundleToPerfectSensor", "-inp", pan, "-inxs", ms, "-out", target, "uint16")
    command += ("-method", method, "-ram", "1024", "-progress", "0")
    environment = (
        ("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", str(bench.threads)),
        ("OTB_LOGGER_LEVEL", "WARNING"),
    )
    return Job(name, command, output, size, "", environment)


def orthority(bench: Bench, size: int) -> Job:
    """Gram-Schmidt by orthority, which always takes all cores."""
    name = f"orthority GS ({size})"
    output, (pan, ms) = bench.output(name), bench.inputs(size)
    command = (bench.oty, "sharpen", "-p", pan, "-ms", ms, "-of", str(output), "-o", "-nbo")
    return Job(name, (*command, *_options((*TILED, "COMPRESS=NONE"))), output, size)


def panloom(bench: Bench, size: int, method: str, *, zstd: bool = False, weights: bool = False) -> Job:
    """One of panloom's methods."""
    label = f"panloom {method}{' zstd' if zstd else ''}{', ' + TRUE if weights else ''} ({size})"
    output = bench.output(label)
    command = [*bench.panloom, "sharpen", *bench.inputs(size), str(output), "--method", method]
    command += ["--set", f"weights={','.join(WEIGHTS)}"] if weights else []
    command += ["--threads", str(bench.threads), *_options(ZSTD if zstd else ("COMPRESS=NONE",), "--co")]
    return Job(label, (*command, "--overwrite"), output, size, TRUE if weights else "")


def zstd_jobs(bench: Bench) -> list[Job]:
    """Compressed output, as users should write it."""
    return [gdal(bench, 8192, zstd=True), panloom(bench, 8192, "brovey", zstd=True, weights=True)]


def plain_jobs(bench: Bench) -> list[Job]:
    """Uncompressed output: the fusion itself."""
    peers = [gdal(bench, 8192), gdal(bench, 8192, weights=False), orthority(bench, 8192)]
    peers += [otb(bench, 8192, "rcs"), otb(bench, 8192, "bayes")]
    own = [panloom(bench, 8192, "brovey", weights=True)]
    return peers + own + [panloom(bench, 8192, method) for method in ("brovey", "gsa", "mtf-glp-hpm")]


def memory_jobs(bench: Bench) -> list[Job]:
    """Peak memory must not grow with the scene."""
    return [panloom(bench, size, "gsa") for size in (8192, 16384)]


def scaling_jobs(bench: Bench) -> list[Job]:
    """CPU seconds per pixel must not depend on the scene's size; that of 64 x 64 is the start-up, in the same turns."""
    return [panloom(bench, size, "gsa", zstd=True) for size in (64, 4096, 8192, 16384)]


def startup_jobs(bench: Bench) -> list[Job]:
    """A scene of 64 x 64: what a program costs before it does anything."""
    return [gdal(bench, 64), orthority(bench, 64), otb(bench, 64, "rcs"), panloom(bench, 64, "brovey")]


GROUPS: dict[str, Callable[[Bench], list[Job]]] = {
    "zstd": zstd_jobs,
    "plain": plain_jobs,
    "memory": memory_jobs,
    "scaling": scaling_jobs,
    "startup": startup_jobs,
}


def cut_small(scenes: Path) -> None:
    """The 64 x 64 scene of the start-up group, cut out of the 4096 one."""
    folder = scenes / "64"
    if (folder / "ms.tif").exists():
        return
    folder.mkdir(exist_ok=True)
    for name, side in (("pan", 64), ("ms", 16)):
        with rasterio.open(scenes / "4096" / f"{name}.tif") as source:
            image = source.read(window=Window(0, 0, side, side))  # pyright: ignore[reportCallIssue]
            profile = {
                "driver": "GTiff", "dtype": "uint16", "count": source.count, "height": side, "width": side,
                "crs": source.crs, "transform": source.transform,
            }  # fmt: skip
        with rasterio.open(folder / f"{name}.tif", "w", **profile) as target:
            target.write(image)


def run(job: Job) -> Run:
    """Run a job once; an old output is removed first, and dirty pages of the job before are on disk."""
    job.output.unlink(missing_ok=True)
    os.sync()
    load = os.getloadavg()[0]
    with tempfile.NamedTemporaryFile("r") as clock:
        command = ["/usr/bin/time", "-o", clock.name, "-f", "%e %U %S %M", *job.command]
        done = subprocess.run(
            command, env=os.environ | dict(job.environment), capture_output=True, text=True, check=False
        )
        wall, user, system, peak = (float(word) for word in clock.read().split()[-4:])
    failed = done.returncode != 0 or not job.output.exists()
    error = (done.stderr or done.stdout).strip()[-500:] or f"exit {done.returncode}" if failed else ""
    size = 0 if failed else job.output.stat().st_size / 1e6
    return Run(job.name, wall, user + system, peak / 1024, size, load, error)


def quality(name: str, fused: np.ndarray, truth: np.ndarray) -> Quality:
    """The indices of (band, row, col) images, without `BORDER` pixels on each side."""
    inner = (slice(None), slice(BORDER, -BORDER), slice(BORDER, -BORDER))
    images = [torch.from_numpy(image[inner].astype(np.float64))[None] for image in (fused, truth)]
    bias = metrics.BIAS.bands
    assert bias is not None
    return Quality(
        name,
        metrics.ERGAS(*images, ratio=4),
        metrics.SAM(*images),
        tuple(bias(metrics.BIAS.tally(*images)).tolist()),
    )


def judged(job: Job, scenes: Path) -> Quality | None:
    """The quality of the job's output, where its scene has a truth."""
    truth_path = scenes / str(job.size) / "truth.tif"
    if not truth_path.exists():
        return None
    with rasterio.open(truth_path) as truth, rasterio.open(job.output) as fused:
        window = from_bounds(*truth.bounds, transform=fused.transform).round_offsets().round_lengths()
        return quality(job.name, fused.read(window=window), truth.read())


def unsharpened(scenes: Path, size: int) -> Quality:
    """The quality of MS itself, cubic on the PAN grid: what any method has to beat."""
    folder = scenes / str(size)
    with rasterio.open(folder / "truth.tif") as truth, rasterio.open(folder / "ms.tif") as ms:
        window = from_bounds(*truth.bounds, transform=ms.transform)
        image = ms.read(window=window, out_shape=truth.shape, resampling=Resampling.cubic)
        return quality("no fusion, cubic MS", np.broadcast_to(image, (BANDS, *truth.shape)), truth.read())


def perform(group: Group, bench: Bench, warm: bool) -> None:
    """All rounds of a group. A job that fails is not run again."""
    broken: set[str] = set()
    for turn in range(group.repeat + warm):
        for job in group.jobs:
            if job.name in broken:
                continue
            result = run(job)
            print(f"{group.name} {turn}: {result}", file=sys.stderr, flush=True)
            if result.error:
                broken.add(job.name)
            if turn >= warm or result.error:
                group.runs.append(result)
            if not result.error and job.name not in group.quality and (found := judged(job, bench.scenes)):
                group.quality[job.name] = found
            job.output.unlink(missing_ok=True)


def _first_line(*command: str) -> str:
    if not shutil.which(command[0]):
        return "not installed"
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    # OTB tells its version and fails.
    good = done.returncode == 0 or "version" in "".join(lines[:1])
    return lines[0] if lines and good else "unknown"


def machine(bench: Bench) -> dict[str, str]:
    """Processor, memory, system and versions."""
    facts = Path("/proc/cpuinfo").read_text()
    model = next((line.split(":")[1].strip() for line in facts.splitlines() if line.startswith("model name")), "?")
    memory = next(line.split()[1] for line in Path("/proc/meminfo").read_text().splitlines() if "MemTotal" in line)
    commit = _first_line("git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty")
    return {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "processor": f"{model}, {os.cpu_count()} cores",
        "memory": f"{int(memory) / 2**20:.0f} GiB",
        "system": platform.platform(),
        "Python": platform.python_version(),
        "torch": torch.__version__,
        "rasterio": f"{rasterio.__version__} (GDAL {rasterio.__gdal_version__})",
        "panloom": f"{_first_line(*bench.panloom, '--version')}, commit {commit}",
        "GDAL": _first_line("gdalinfo", "--version"),
        "OTB": _first_line("otbcli_BundleToPerfectSensor", "-version"),
        "orthority": _first_line(bench.oty, "--version"),
    }


def _middle(runs: Sequence[Run], name: str) -> float:
    return statistics.median(getattr(one, name) for one in runs)


def time_table(group: Group) -> list[str]:
    """Medians over the repetitions; the highest peak of memory."""
    lines = [
        "| job | wall s | CPU s | peak MB | output MB | Mpx·band/s | Mpx·band per CPU s | CPU ns per px |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for job in group.jobs:
        runs = [one for one in group.runs if one.name == job.name]
        if not runs or runs[-1].error:
            message = runs[-1].error.splitlines()[-1] if runs else "not run"
            lines.append(f"| {job.name} | failed: {message} | | | | | | |")
            continue
        wall, cpu = _middle(runs, "wall_s"), max(_middle(runs, "cpu_s"), 0.01)
        work = BANDS * job.size**2 / 1e6
        peak = max(one.peak_mb for one in runs)
        lines.append(
            f"| {job.name} | {wall:.2f} | {cpu:.2f} | {peak:.0f} | {runs[0].output_mb:.1f} "
            f"| {work / wall:.1f} | {work / cpu:.1f} | {1e9 * cpu / job.size**2:.1f} |"
        )
    return lines


def quality_table(rows: Sequence[Quality]) -> list[str]:
    """ERGAS, SAM and bias per band."""
    lines = ["| job | ERGAS | SAM ° | bias % blue, green, red, nir |", "|---|---|---|---|"]
    for row in rows:
        bias = ", ".join(f"{value:+.3f}" for value in row.bias_percent)
        lines.append(f"| {row.name} | {row.ergas:.4f} | {row.sam_deg:.4f} | {bias} |")
    return lines


def shown(job: Job, bench: Bench) -> str:
    """The command as a reader would type it: without the folders of this machine."""
    words = [f"{key}={value}" for key, value in job.environment]
    words += [f"'{word}'" if "&" in word else word for word in job.command]
    line = " ".join(words)
    for program in (bench.oty, *bench.panloom[:1]):
        line = line.replace(program, Path(program).name)
    return line.replace(str(bench.work), "OUT").replace(str(bench.scenes), "SCENES")


def report(groups: Sequence[Group], facts: dict[str, str], base: Quality | None, bench: Bench) -> str:
    """The whole run as Markdown."""
    lines = ["# panloom and its peers", "", *(f"- {key}: {value}" for key, value in facts.items())]
    for group in groups:
        lines += ["", f"## {group.name}: median of {group.repeat}", "", *time_table(group)]
        if group.quality:
            rows = [*([base] if base else []), *group.quality.values()]
            lines += ["", "Against the truth:", "", *quality_table(rows)]
        lines += ["", "Commands:", "", "```"]
        lines += [shown(job, bench) for job in group.jobs]
        lines.append("```")
    return "\n".join(lines) + "\n"


def save(folder: Path, groups: Sequence[Group], facts: dict[str, str], base: Quality | None, bench: Bench) -> None:
    """Write `peers.md`, and `peers.json` with every run."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "peers.md").write_text(report(groups, facts, base, bench))
    content = [
        {
            "name": group.name,
            "repeat": group.repeat,
            "commands": {job.name: shown(job, bench) for job in group.jobs},
            "runs": [asdict(one) for one in group.runs],
            "quality": [asdict(row) for row in group.quality.values()],
        }
        for group in groups
    ]
    base_row = asdict(base) if base else None
    text = json.dumps({"machine": facts, "groups": content, "no_fusion": base_row}, indent=1)
    (folder / "peers.json").write_text(text + "\n")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", type=Path, help="folder with 4096, 8192, 16384 in it, made by scene.py")
    parser.add_argument("--group", action="append", choices=sorted(GROUPS), help="default: all")
    parser.add_argument("--repeat", type=int, default=3, help="counted rounds")
    parser.add_argument("--no-warm-up", action="store_true", help="count the first round too")
    parser.add_argument("--peers-only", action="store_true", help="leave panloom's own jobs out")
    parser.add_argument("--skip", action="append", default=[], help="leave out jobs with this in their name")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--oty", default="oty", help="orthority's program")
    parser.add_argument("--work", type=Path, help="folder for the outputs; default: SCENES/out")
    parser.add_argument("--report", type=Path, help="folder for peers.md and peers.json")
    return parser.parse_args()


def chosen(jobs: Sequence[Job], options: argparse.Namespace) -> tuple[Job, ...]:
    """The jobs of a group that the options leave in."""
    skip = [*options.skip, *(["panloom"] if options.peers_only else [])]
    return tuple(job for job in jobs if not any(word in job.name for word in skip))


def main() -> None:
    options = arguments()
    work = options.work or options.scenes / "out"
    work.mkdir(parents=True, exist_ok=True)
    own = Path(sys.executable).with_name("panloom")
    command = (str(own),) if own.exists() else (sys.executable, "-m", "panloom")
    bench = Bench(options.scenes, work, command, options.oty, options.threads)
    cut_small(bench.scenes)
    facts = machine(bench)
    groups = [Group(name, chosen(GROUPS[name](bench), options), options.repeat) for name in options.group or GROUPS]
    base = unsharpened(bench.scenes, 8192) if (bench.scenes / "8192").exists() else None
    done: list[Group] = []
    for group in groups:
        perform(group, bench, not options.no_warm_up)
        done.append(group)
        if options.report:
            save(options.report, done, facts, base, bench)
    print(report(done, facts, base, bench))


if __name__ == "__main__":
    main()
