"""Self-training: a model learns from source labels, where there are any, and from pseudo-labels.

One readable step (`step.py`) puts together what stands in a module each: class mix, selection of
labels, augmentation, the teacher, and the losses of the methods (`terms.py` says how they join).
"""
