# SPDX-License-Identifier: Apache-2.0
"""What `meson install` lays out, and programs built against it as another project would build them."""

import os
import pathlib
import shlex
import subprocess

import pytest

from helpers.system import TOP, program

BUILD = pathlib.Path(program()).resolve().parents[2]
RUN_LIMIT_S = 60


def run(*command, environment=None):
    done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_LIMIT_S, check=False,
                          env=os.environ | (environment or {}))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(name="root", scope="module")
def root_fixture(tmp_path_factory):
    """The folder it was installed into."""
    root = tmp_path_factory.mktemp("root")
    run("meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", root)
    return root


def find(root, name):
    found = list(root.rglob(name))
    assert len(found) == 1, f"{name}: {found}"
    return found[0]


def ask_pkg_config(root, *arguments):
    """What pkg-config says of the installed library."""
    folder = find(root, "libevcache.pc").parent
    return run("pkg-config", *arguments, "libevcache", environment={
        "PKG_CONFIG_PATH": str(folder), "PKG_CONFIG_SYSROOT_DIR": str(root)})


def flags(root, kind):
    """What a program is compiled and linked with: with the archive, what that needs is shared all the same."""
    found = shlex.split(ask_pkg_config(root, "--cflags", "--libs"))
    if kind == "shared":
        return found
    needed = [line.split()[0] for line in ask_pkg_config(root, "--print-requires-private").splitlines()]
    archive = ["-l:libevcache.a" if flag == "-levcache" else flag for flag in found]
    return [*archive, *shlex.split(run("pkg-config", "--libs", *needed)), "-pthread"]


def test_install__everything_is_in_its_place(root):
    for name in ["libevcache.so", "libevcache.so.0", "libevcache.a", "evcache.1", "evcache_get.3", "libevcache.3"]:
        find(root, name)
    bin_evcache = next(path for path in root.rglob("evcache") if path.parent.name == "bin")
    headers = {path.name for path in root.rglob("include/evcache/*")}
    assert headers == {"evcache.h", "uv.h"}
    version = run(bin_evcache, "version").split()[-1]
    assert run("pkg-config", "--modversion", find(root, "libevcache.pc")).strip() == version
    assert find(root, "libevcache.so.0").resolve().name == f"libevcache.so.{version}"


def test_install__archive__is_for_any_compiler(root):
    assert ".gnu.lto" not in run("objdump", "--section-headers", find(root, "libevcache.a"))


@pytest.mark.parametrize("kind", ["shared", "static"])
def test_program__built_against_it__does_its_work(root, tmp_path, system, kind):
    binary = tmp_path / "blocking"
    run(os.environ.get("CC", "cc"), "-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror",
        TOP / "examples" / "blocking.c", *flags(root, kind), "-o", binary)
    cache = system(regions=1, zones=2)
    library_path = {"LD_LIBRARY_PATH": str(find(root, "libevcache.so.0").parent)} if kind == "shared" else None
    assert "set: ok" in run(binary, cache.config, "virginia", environment=library_path)
    assert ("libevcache.so.0" in run("ldd", binary, environment=library_path)) == (kind == "shared")
