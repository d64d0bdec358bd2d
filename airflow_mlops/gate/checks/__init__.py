"""What is judged beside the answers: what the artefact holds, leakage, signature, behaviour, cost."""
