"""From checkpoint files to a `LatentModel`, behind one written contract.

The only package that imports diffusers, transformers and spandrel, opens weights, or decides
dtype, device and memory format. It knows no request and no picture file. Start reading at
`sfumato.models.contract`, then `sfumato.models.load`.
"""

from sfumato.models.offline import go_offline

# Before diffusers or transformers can be imported through any module of this package.
go_offline()
