"""What Bazel itself loads from @rules_cc, answered by the native rules.

Bazel 4.2.3 wants this repository even for a plain cc_library, and the package
bazel-rules-cc is made for a newer Bazel.
"""

cc_binary = native.cc_binary
cc_import = native.cc_import
cc_library = native.cc_library
cc_proto_library = native.cc_proto_library
cc_test = native.cc_test
cc_toolchain = native.cc_toolchain
cc_toolchain_suite = native.cc_toolchain_suite
fdo_prefetch_hints = native.fdo_prefetch_hints
fdo_profile = native.fdo_profile
objc_import = native.objc_import
objc_library = native.objc_library

def cc_flags_supplier(name, **_attributes):
    """Stands in for a rule that only old make variables need."""
    native.filegroup(name = name)

def _compiler_flag(ctx):
    return [config_common.FeatureFlagInfo(value = ctx.attr.compiler)]

compiler_flag = rule(
    implementation = _compiler_flag,
    attrs = {"compiler": attr.string(default = "compiler")},
)
