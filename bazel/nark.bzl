"""The project's C++ rules: the native ones with the house's warnings and defaults."""

NARK_COPTS = [
    "-Wall",
    "-Wextra",
    "-Wnon-virtual-dtor",
    "-Werror=return-type",
    "-Werror=unused-result",
]

def _precompiled(which):
    """Options and dependencies to use bazel/precompiled: most of a source is others' headers."""
    return struct(
        copts = select({
            "//bazel:precompiled_headers": [
                "-include-pch",
                "$(BINDIR)/bazel/precompiled/%s.pch" % which,
            ],
            "//conditions:default": [],
        }),
        deps = select({
            "//bazel:precompiled_headers": ["//bazel/precompiled:" + which],
            "//conditions:default": [],
        }),
    )

_LIBRARY = _precompiled("library")
_TEST = _precompiled("test")

def nark_cc_library(name, copts = [], deps = [], **attributes):
    native.cc_library(
        name = name,
        copts = NARK_COPTS + copts + _LIBRARY.copts,
        deps = deps + _LIBRARY.deps,
        **attributes
    )

def nark_cc_binary(name, copts = [], deps = [], **attributes):
    native.cc_binary(
        name = name,
        copts = NARK_COPTS + copts + _LIBRARY.copts,
        deps = deps + _LIBRARY.deps,
        **attributes
    )

def nark_cc_test(name, copts = [], deps = [], size = "small", main = "gtest", **attributes):
    """A GoogleTest test, small unless said otherwise.

    Args:
      name: ends in _test.
      copts: added to the house's.
      deps: GoogleTest and GoogleMock are added.
      size: Bazel's test size.
      main: "gtest" for GoogleTest's own main, "own" if srcs have one.
      **attributes: as of cc_test.
    """
    gtest = "//bazel/third_party:gtest_main" if main == "gtest" else "//bazel/third_party:gtest"
    native.cc_test(
        name = name,
        size = size,
        copts = NARK_COPTS + copts + _TEST.copts,
        deps = deps + [gtest] + _TEST.deps,
        **attributes
    )

def nark_cc_benchmark(name, copts = [], deps = [], tags = [], **attributes):
    """A Google Benchmark program; manual, so that //... does not build it."""
    native.cc_binary(
        name = name,
        testonly = True,
        copts = NARK_COPTS + copts,
        tags = tags + ["manual", "bench"],
        deps = deps + ["//bazel/third_party:benchmark_main"],
        **attributes
    )

def nark_cc_fuzz_test(name, srcs, corpus = None, copts = [], deps = [], tags = [], **attributes):
    """A libFuzzer target, and a test that replays its corpus in every build.

    Makes NAME, a manual program that fuzzes if built with --config=fuzz and replays
    the files it is given otherwise, and the test NAME_replay.

    Args:
      name: ends in _fuzz_test or _fuzzer.
      srcs: define LLVMFuzzerTestOneInput, and no main.
      corpus: folder below this package with inputs to replay.
      copts: added to the house's.
      deps: of srcs.
      tags: for both targets.
      **attributes: for the library made of srcs.
    """
    native.cc_library(
        name = name + "_target",
        testonly = True,
        srcs = srcs,
        copts = NARK_COPTS + copts,
        tags = tags + ["manual"],
        deps = deps,
        alwayslink = True,
        visibility = ["//visibility:private"],
        **attributes
    )
    native.cc_binary(
        name = name,
        testonly = True,
        tags = tags + ["manual", "fuzz"],
        linkopts = select({
            "//bazel:fuzzing": ["-fsanitize=fuzzer"],
            "//conditions:default": [],
        }),
        deps = [":" + name + "_target"] + select({
            "//bazel:fuzzing": [],
            "//conditions:default": ["//bazel/fuzz:replay"],
        }),
    )
    native.cc_test(
        name = name + "_replay",
        size = "small",
        args = [name] + ([native.package_name() + "/" + corpus] if corpus else []),
        data = native.glob([corpus + "/**"]) if corpus else [],
        tags = tags,
        deps = [":" + name + "_target", "//bazel/fuzz:replay"],
    )
