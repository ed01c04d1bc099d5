"""Converting pickles: what is harmless is converted, what is not never runs.

Payloads only touch a marker file or open a local socket, and even that must not happen.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import pickle
import re
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from processes import fork
from sfumato.core.errors import ModelError, RequestError, UnsafeFileError
from sfumato.models.files import convert_child
from sfumato.models.files.convert import convert_pickle, name_target
from sfumato.models.files.header import read_header


class Call:
    """Pickle as a call of any function: what `__reduce__` attacks do."""

    def __init__(self, function, *arguments):
        self.parts = (function, arguments)

    def __reduce__(self):
        return self.parts


@pytest.fixture
def held(monkeypatch):
    """Read with the child's own code, in this process: spawning one for each case would take minutes."""

    def read(path):
        return convert_child.collect(convert_child.read_plain(str(path)))

    return read


def test_weights_are_converted_in_a_child_that_is_held(tmp_path):
    state = {
        "w": torch.randn(3, 4).half(),
        "b": torch.arange(5),
        "view": torch.randn(4, 4).T,
        "p": torch.nn.Parameter(torch.ones(2)),
    }
    torch.save({"state_dict": state, "epoch": 3, "callbacks": {"x": [1, 2]}}, tmp_path / "model.ckpt")
    made = convert_pickle(tmp_path / "model.ckpt")
    assert made.path == tmp_path / "model.safetensors"
    found = load_file(made.path)
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], state[name]) for name in state)
    assert {"limits", "audit"} <= set(made.held)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    with pytest.raises(RequestError, match="exists"):
        convert_pickle(tmp_path / "model.ckpt")


def test_a_call_in_a_pickle_is_refused_and_never_runs(tmp_path):
    marker = tmp_path / "marker"
    torch.save({"state_dict": {"w": Call(Path.touch, marker)}}, tmp_path / "evil.ckpt")
    with pytest.raises(UnsafeFileError) as caught:
        convert_pickle(tmp_path / "evil.ckpt")
    assert caught.value.exit_code == 4
    assert not marker.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evil.ckpt"]


def reach(name: str):
    """Return a function by its dotted name, imported the way a pickle would."""
    module, _, leaf = name.rpartition(".")
    return getattr(__import__(module, fromlist=[leaf]), leaf)


# Callables that deny-list scanners missed (picklescan CVE-2025-1716 and its family, 2025 and 2026).
CALLS = (
    "os.system", "subprocess.Popen", "builtins.eval", "builtins.exec", "builtins.open", "builtins.getattr",
    "pkgutil.resolve_name", "cProfile.run", "cProfile.runctx", "uuid._get_command_stdout", "ctypes.CDLL",
    "logging.FileHandler", "_io.FileIO", "urllib.request.urlopen", "socket.create_connection", "runpy.run_path",
    "importlib.import_module", "timeit.timeit", "pydoc.pipepager", "code.interact", "bdb.Bdb", "torch.load",
    "torch.hub.load", "numpy.f2py.crackfortran.getlincoef", "numpy.load", "shutil.rmtree", "webbrowser.open",
)  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("legacy", [False, True])
def test_no_callable_of_the_known_attacks_is_reached(tmp_path, held, name, legacy):
    try:
        function = reach(name)
    except (ImportError, AttributeError):
        pytest.skip("not in this version of Python")
    marker = tmp_path / "marker"
    path = tmp_path / "evil.pt"
    torch.save({"w": Call(function, f"open({str(marker)!r}, 'w')")}, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(convert_child.RefusedError):
        held(path)
    assert not marker.exists()


def test_stand_ins_for_old_training_programs_do_nothing(tmp_path, held):
    """SD 1.x files name a class of their training program; it becomes inert whatever it is given."""
    path = tmp_path / "old.ckpt"
    torch.save({"state_dict": {"w": torch.ones(2)}, "callbacks": {}}, path)
    rewrite_pickle(
        path, lambda raw: raw[:-1] + b"0cpytorch_lightning.callbacks.model_checkpoint\nModelCheckpoint\n0" + raw[-1:]
    )
    with pytest.raises(convert_child.RefusedError):
        held(path)  # the stack is empty: a malformed pickle, refused as such
    torch.save({"state_dict": {"w": torch.ones(2)}, "when": collections.OrderedDict(a=1)}, path)
    assert list(held(path)[0]) == ["w"]


def rewrite_pickle(path, change):
    with zipfile.ZipFile(path) as old:
        entries = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as new:
        for name, raw in entries.items():
            new.writestr(name, change(raw) if name.endswith("data.pkl") else raw)


@pytest.mark.filterwarnings("ignore:Sparse", "ignore:torch.quantize")
@pytest.mark.parametrize("kind", ["csr", "coo", "quantized", "complex", "meta"])
def test_tensors_that_are_not_plain_are_refused(tmp_path, held, kind):
    """A sparse tensor whose indices point outside its memory loads "safely" and reads out of bounds later."""
    made = {
        "csr": lambda: torch.eye(3).to_sparse_csr(),
        "coo": lambda: torch.eye(3).to_sparse(),
        "quantized": lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
        "complex": lambda: torch.ones(2, dtype=torch.complex64),
        "meta": lambda: torch.ones(2, device="meta"),
    }[kind]()
    torch.save({"w": made}, tmp_path / "x.pt")
    with pytest.raises(convert_child.RefusedError):
        held(tmp_path / "x.pt")


def test_a_tensor_that_reaches_outside_its_memory_is_refused():
    plain = torch.ones(4)
    assert convert_child.check_dense("w", plain) is not None
    wild = torch.as_strided(torch.ones(100), (10, 10), (10, 1))
    wild.untyped_storage().resize_(16)
    with pytest.raises(convert_child.RefusedError, match="outside"):
        convert_child.check_dense("w", wild)


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04broken", b"\x80\x02.", b"hello", pickle.dumps({"w": 1}), pickle.dumps([1])]
)
def test_files_that_are_no_checkpoint_are_refused(tmp_path, held, content):
    (tmp_path / "x.pt").write_bytes(content)
    with pytest.raises(convert_child.RefusedError):
        held(tmp_path / "x.pt")


def test_names_that_leave_an_archive_write_nothing(tmp_path, held):
    """Zip slip: nothing is ever unpacked, so a member called ../x has nowhere to go."""
    path = tmp_path / "in" / "x.pt"
    path.parent.mkdir()
    torch.save({"w": torch.ones(2)}, path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../escaped.txt", "x")
    with contextlib.suppress(convert_child.RefusedError):
        held(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["in"]


def test_a_textual_inversion_is_converted(tmp_path, held):
    torch.save(
        {"string_to_token": {"*": 265}, "string_to_param": {"*": torch.ones(2, 8)}, "name": "x"}, tmp_path / "x.pt"
    )
    tensors, _ = held(tmp_path / "x.pt")
    assert {name: tuple(tensor.shape) for name, tensor in tensors.items()} == {"emb_params": (2, 8)}


@pytest.mark.parametrize("keep", [dict, torch.nn.ParameterDict])
@pytest.mark.parametrize("wrap", [torch.nn.Parameter, torch.clone])
def test_embeddings_of_every_year_are_converted(tmp_path, held, keep, wrap):
    vector = torch.randn(3, 8)
    content = {"string_to_token": {"*": 265}, "string_to_param": keep({"*": wrap(vector)}), "name": "x"}
    torch.save(content, tmp_path / "x.pt")
    tensors, _ = held(tmp_path / "x.pt")
    assert torch.equal(tensors["emb_params"], vector)


def test_an_embedding_in_a_parameter_table_is_converted_by_the_child(tmp_path):
    torch.save({"string_to_param": torch.nn.ParameterDict({"*": torch.ones(3, 8)})}, tmp_path / "x.pt")
    with (tmp_path / "x.safetensors").open("wb") as file:

        def convert():
            sys.argv = ["child", str(tmp_path / "x.pt"), str(file.fileno())]
            convert_child.main()

        with fork(tmp_path, convert) as child:
            assert child.wait() == 0, child.err.decode()
            assert {"limits", "audit"} <= set(json.loads(child.out)["held"])
    assert load_file(tmp_path / "x.safetensors")["emb_params"].shape == (3, 8)


def test_a_stand_in_keeps_nothing_but_parameters(tmp_path, held):
    table = torch.nn.ParameterDict({"*": torch.ones(2, 8), "+": torch.ones(2, 8)})
    torch.save({"string_to_param": table}, tmp_path / "x.pt")
    with pytest.raises(convert_child.RefusedError, match="one token"):
        held(tmp_path / "x.pt")


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("pytorch_model.bin", "model.safetensors"),
        ("pytorch_model.fp16.bin", "model.fp16.safetensors"),
        ("diffusion_pytorch_model.bin", "diffusion_pytorch_model.safetensors"),
        ("v1-5.ckpt", "v1-5.safetensors"),
    ],
)
def test_the_result_has_the_name_that_the_loader_looks_for(tmp_path, name, made):
    assert name_target(tmp_path / name) == tmp_path / made


ODD = {
    "a call": Call(os.system, "true"), "a counter": collections.Counter(a=1), "a set": {1, 2}, "an object": object(),
    "a dtype": torch.float8_e5m2, "a path": Path("/"),
}  # fmt: skip


@pytest.mark.parametrize("case", ODD)
@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("cut", [0, 30, 10**6])
def test_no_advice_to_read_a_file_unsafely_is_passed_on(tmp_path, held, case, legacy, cut):
    path = tmp_path / "x.pt"
    torch.save({"w": ODD[case], "v": torch.ones(2)}, path, _use_new_zipfile_serialization=not legacy)
    path.write_bytes(path.read_bytes()[: max(4, path.stat().st_size - cut)])
    said = ""
    try:
        held(path)
    except convert_child.RefusedError as error:
        said = str(error)
    assert not re.search(r"weights_only|torch.load|safe_globals|trust the", said)


def test_requests_that_make_no_sense_are_told_apart(tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"")
    with pytest.raises(RequestError, match="pickle"):
        convert_pickle(tmp_path / "x.safetensors")
    with pytest.raises(ModelError):
        convert_pickle(tmp_path / "none.ckpt")
    with pytest.raises(RequestError, match="safetensors"):
        convert_pickle(tmp_path / "a.ckpt", tmp_path / "a.bin")


# Both scripts run in a copy of this process: what they try are the walls, and not how the child starts.
PROBE = """
import os, socket, sys
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location("convert_child", {child!r})
convert_child = module_from_spec(spec)
spec.loader.exec_module(convert_child)
descriptor = os.open({target!r}, os.O_RDWR | os.O_CREAT)
print("held", *convert_child.lock_down({source!r}, 1000, descriptor))
def attempt(name, action):
    try:
        action()
    except BaseException as error:
        print(name, "stopped", type(error).__name__)
    else:
        print(name, "worked")
attempt("socket", lambda: socket.socket())
attempt("write", lambda: open({marker!r}, "w"))
attempt("raw write", lambda: os.open({marker!r}, os.O_WRONLY | os.O_CREAT))
attempt("program", lambda: os.system("true"))
attempt("fork", lambda: os.fork())
attempt("remove", lambda: os.unlink({target!r}))
attempt("read", lambda: open({source!r}).read())
attempt("output", lambda: os.write(descriptor, b"x"))
"""


def run_in_a_copy(script, folder):
    with fork(folder, lambda: exec(script, {})) as run:
        assert run.wait() == 0, run.err.decode()
        return run.out.decode()


def test_the_child_can_neither_reach_out_nor_write_elsewhere(tmp_path):
    (tmp_path / "source").write_text("weights")
    names = {"target": tmp_path / "out", "marker": tmp_path / "marker", "source": tmp_path / "source"}
    script = PROBE.format(child=convert_child.__file__, **{name: str(path) for name, path in names.items()})
    printed = run_in_a_copy(script, tmp_path)
    said = dict(
        line.split(" ", 1) if not line.startswith("raw") else ("raw write", line[10:]) for line in printed.splitlines()
    )
    assert {"limits", "audit"} <= set(said["held"].split())
    for name in ("socket", "write", "raw write", "program", "fork", "remove"):
        assert said[name].startswith("stopped"), (name, printed)
    assert said["read"] == "worked"
    assert said["output"] == "worked"
    assert not (tmp_path / "marker").exists()


KERNEL = """
import ctypes, os, sys, threading
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location("convert_child", {child!r})
convert_child = module_from_spec(spec)
spec.loader.exec_module(convert_child)
libc = ctypes.CDLL(None, use_errno=True)
descriptor = os.open({output!r}, os.O_RDWR | os.O_CREAT)
print("held", *convert_child.forbid_files({source!r}), *convert_child.forbid_calls())
# No audit hook here: what stops these calls is the kernel.
victim, other, bystander = {victim!r}.encode(), {other!r}.encode(), {bystander}
calls = {{
    "socket": lambda: libc.socket(2, 1, 0),
    "fork": lambda: libc.fork(),
    "program": lambda: libc.execv(b"/bin/true", (ctypes.c_char_p * 2)(b"true", None)),
    "write": lambda: libc.open(victim, os.O_WRONLY),
    "append": lambda: libc.open(victim, os.O_WRONLY | os.O_APPEND),
    "open truncating": lambda: libc.open(victim, os.O_RDONLY | os.O_TRUNC),
    "create": lambda: libc.creat(other, 0o600),
    "remove": lambda: libc.unlink(victim),
    "rename": lambda: libc.rename(victim, other),
    "symlink": lambda: libc.symlink(victim, other),
    "link": lambda: libc.link(victim, other),
    "folder": lambda: libc.mkdir(other, 0o700),
    "mode": lambda: libc.chmod(victim, 0o777),
    "owner": lambda: libc.chown(victim, os.getuid(), os.getgid()),
    "times": lambda: libc.utimes(victim, None),
    "attribute": lambda: libc.setxattr(victim, b"user.x", b"1", 1, 0),
    "truncate": lambda: libc.truncate(victim, 0),
    "read another file": lambda: libc.open(victim, os.O_RDONLY),
    "list a folder": lambda: libc.open(b"/", os.O_RDONLY | os.O_DIRECTORY),
    "signal": lambda: libc.kill(bystander, 9),
    "signal to a group": lambda: libc.killpg(bystander, 9),
    "process descriptor": lambda: libc.syscall(434, bystander, 0),
    "priority": lambda: libc.setpriority(0, bystander, 10),
    "limits of another process": lambda: libc.prlimit(bystander, 7, None, None),
    "trace": lambda: libc.ptrace(16, bystander, None, None),
    "owner of a descriptor": lambda: libc.fcntl(descriptor, 8, bystander),
    "name space": lambda: libc.unshare(0x00020000),
    "shared memory": lambda: libc.shmget(0, 4096, 0o1666),
    "memory file": lambda: libc.memfd_create(b"x", 0),
    "another ring": lambda: libc.syscall(425, 8, None),
}}
for name, call in calls.items():
    print("worked" if call() >= 0 else "stopped", name, flush=True)
print("ok" if os.read(os.open({source!r}, os.O_RDONLY), 7) == b"weights" and os.write(descriptor, b"x") else "not ok", "own files")
thread = threading.Thread(target=print, args=("ok thread",))
thread.start(); thread.join()
"""


def test_the_kernel_holds_the_child_even_without_python(tmp_path):
    """Every way out that a process has; where a kernel lacks a wall, the child says so instead."""
    names = {name: tmp_path / name for name in ("source", "output", "victim", "other")}
    names["source"].write_text("weights")
    names["victim"].write_text("precious")
    with subprocess.Popen(["sleep", "30"], start_new_session=True) as bystander:
        paths = {name: str(path) for name, path in names.items()}
        script = KERNEL.format(child=convert_child.__file__, bystander=bystander.pid, **paths)
        printed = run_in_a_copy(script, tmp_path)
        alive = bystander.poll() is None
        bystander.kill()
    held, *lines = printed.splitlines()
    if "landlock" not in held or "seccomp" not in held:
        pytest.skip("this kernel has no Landlock or seccomp; the audit hook is what holds")
    worked = [line for line in lines if not line.startswith(("stopped", "ok"))]
    assert worked == []
    assert lines[-2:] == ["ok own files", "ok thread"]
    assert alive
    assert names["victim"].read_text() == "precious"
    assert not names["other"].exists()


def test_a_wall_that_a_machine_lacks_is_said(tmp_path, monkeypatch, capsys):
    """The answer of the child names what it could not be kept from."""
    torch.save({"w": torch.ones(2)}, tmp_path / "x.pt")
    monkeypatch.setattr(convert_child, "rehearse", lambda: None)
    monkeypatch.setattr(convert_child, "lock_down", lambda *_: ["limits", "seccomp", "audit"])
    with (tmp_path / "out").open("wb") as file:
        monkeypatch.setattr(sys, "argv", ["child", str(tmp_path / "x.pt"), str(file.fileno())])
        convert_child.main()
    assert json.loads(capsys.readouterr().out)["open"] == [convert_child.WALLS["landlock"]]


def test_the_filter_is_whole_instructions():
    for machine in convert_child.ALLOWED:
        code = convert_child.build_filter(machine)
        assert len(code) % 8 == 0
        jumps = [struct.unpack("<HBBI", code[at : at + 8]) for at in range(0, len(code), 8)]
        assert all(at + 1 + max(yes, no) < len(jumps) for at, (_, yes, no, _) in enumerate(jumps[:-1]))
        assert jumps[-1][0] == 6  # ends by returning


def test_a_written_file_passes_the_gate(tmp_path):
    tensors = {
        "a": torch.randn(3, 5),
        "half": torch.ones(2).bfloat16(),
        "none": torch.zeros(0, 3),
        "one": torch.tensor(2.0),
    }
    descriptor = os.open(tmp_path / "x.safetensors", os.O_RDWR | os.O_CREAT)
    convert_child.write(descriptor, tensors)
    os.close(descriptor)
    assert read_header(tmp_path / "x.safetensors").tensors.keys() == tensors.keys()
    found = load_file(tmp_path / "x.safetensors")
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)
