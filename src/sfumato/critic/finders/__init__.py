"""What finds faces, hands, people and things in a picture, behind one interface, one file per finder.

Start reading at `finder`.
"""
