"""The critic of hands: reads arm, palm, digits, segments and nails on a crop, and says what is wrong and how sure it is.

Knows pictures and boxes; renders nothing. Start reading at `judge.judge_hand`.
"""
