"""Reliability of a label as a continuous field over the image, and labels rectified by it.

IR2F-style reconstruction: Gong et al., "Continuous Pseudo-Label Rectified Domain Adaptive Semantic
Segmentation with Implicit Neural Representations", CVPR 2023. Only the abstract of that paper is
followed; everything it leaves open is ours.
"""
