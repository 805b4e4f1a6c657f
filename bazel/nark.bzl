"""The project's C++ rules: the native ones with the house's warnings and defaults."""

NARK_COPTS = [
    "-Wall",
    "-Wextra",
    "-Wnon-virtual-dtor",
    "-Werror=return-type",
    "-Werror=unused-result",
]

def _compile(rule, precompiled, copts, deps, **attributes):
    """The native rule with the house's options, and others' headers precompiled.

    Args:
      rule: of cc_library and its like.
      precompiled: which of bazel/precompiled; where the sources choose another optimisation,
        which the header's must be, they do without.
      copts: added to the house's.
      deps: of the sources.
      **attributes: the rule's.
    """
    header_copts = []
    header_deps = []
    if not [option for option in copts if option.startswith("-O")]:
        header_copts = select({
            "//bazel:precompiled_headers": [
                "-include-pch",
                "$(BINDIR)/bazel/precompiled/%s.pch" % precompiled,
            ],
            "//conditions:default": [],
        })
        header_deps = select({
            "//bazel:precompiled_headers": ["//bazel/precompiled:" + precompiled],
            "//conditions:default": [],
        })
    rule(
        copts = NARK_COPTS + copts + header_copts,
        deps = deps + header_deps,
        **attributes
    )

def nark_cc_library(copts = [], deps = [], **attributes):
    _compile(native.cc_library, "library", copts, deps, **attributes)

def nark_cc_binary(copts = [], deps = [], **attributes):
    _compile(native.cc_binary, "library", copts, deps, **attributes)

def nark_cc_test(
        name,
        copts = [],
        deps = [],
        size = "small",
        main = "gtest",
        unsanitized = None,
        tags = [],
        **attributes):
    """A GoogleTest test, small unless said otherwise.

    Args:
      name: ends in _test.
      copts: added to the house's.
      deps: GoogleTest and GoogleMock are added.
      size: Bazel's test size.
      main: "gtest" for GoogleTest's own main, "own" if srcs have one.
      unsanitized: GoogleTest's pattern of what a sanitized build leaves out, where it would take
        a minute; tests/run has it in the opt build.
      tags: Bazel's.
      **attributes: as of cc_test.
    """
    gtest = "//bazel/third_party:gtest_main" if main == "gtest" else "//bazel/third_party:gtest"
    if unsanitized:
        attributes["args"] = attributes.get("args", []) + select({
            "//bazel:sanitized": ["--gtest_filter=-" + unsanitized],
            "//conditions:default": [],
        })
        tags = tags + ["unsanitized"]
    _compile(
        native.cc_test,
        "test",
        copts,
        deps + [gtest],
        name = name,
        size = size,
        tags = tags,
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
