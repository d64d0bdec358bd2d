"""How a promoted model comes to answer: built as a Bento, staged on a target, proved by its answers, made live.

Nothing is imported here, so that whoever needs one part pays for that part alone.
"""
