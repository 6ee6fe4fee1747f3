"""What `panloom analyze` finds, draws and says: a record of numbers, figures, and sentences that follow from them.

`method` and `model` measure, on pictures of `scenes`; `record` holds what they found; `plots` and `figures` draw it,
`captions` and `conclusions` put it into words. `panloom.run.analyze` is the job from end to end.
"""
