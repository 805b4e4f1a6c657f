"""A precompiled header of what nearly every source of ours includes of other people's."""

load("@bazel_tools//tools/build_defs/cc:action_names.bzl", "CPP_COMPILE_ACTION_NAME")
load("@bazel_tools//tools/cpp:toolchain_utils.bzl", "find_cpp_toolchain")

def _precompiled_header(ctx):
    toolchain = find_cpp_toolchain(ctx)
    features = cc_common.configure_features(
        ctx = ctx,
        cc_toolchain = toolchain,
        requested_features = ctx.features,
        unsupported_features = ctx.disabled_features,
    )
    variables = cc_common.create_compile_variables(
        feature_configuration = features,
        cc_toolchain = toolchain,
        user_compile_flags = ctx.fragments.cpp.copts + ctx.fragments.cpp.cxxopts + ctx.attr.copts,
        use_pic = True,
    )
    made = ctx.actions.declare_file(ctx.label.name + ".pch")

    # Not by a header of ours: its path would be in the result, and differs with the sandbox.
    arguments = ctx.actions.args()
    arguments.add_all(cc_common.get_memory_inefficient_command_line(
        feature_configuration = features,
        action_name = CPP_COMPILE_ACTION_NAME,
        variables = variables,
    ))
    arguments.add_all(["-Xclang", "-fno-pch-timestamp", "-fpch-instantiate-templates"])
    arguments.add_all(ctx.attr.headers, before_each = "-include")
    arguments.add_all(["-x", "c++-header", ctx.attr.last_header, "-o", made])
    ctx.actions.run(
        executable = cc_common.get_tool_for_action(
            feature_configuration = features,
            action_name = CPP_COMPILE_ACTION_NAME,
        ),
        arguments = [arguments],
        inputs = toolchain.all_files,
        outputs = [made],
        env = cc_common.get_environment_variables(
            feature_configuration = features,
            action_name = CPP_COMPILE_ACTION_NAME,
            variables = variables,
        ),
        mnemonic = "CppPrecompile",
        progress_message = "Precompiling headers",
    )
    context = cc_common.create_compilation_context(headers = depset([made]))
    return [DefaultInfo(files = depset([made])), CcInfo(compilation_context = context)]

precompiled_header = rule(
    implementation = _precompiled_header,
    doc = "By clang, with the options of the build; NAME.pch, and what depends on it may use it.",
    attrs = {
        "copts": attr.string_list(doc = "what the sources that use it have besides"),
        "headers": attr.string_list(doc = "of the system, as one includes them"),
        "last_header": attr.string(doc = "another one, by its absolute path", mandatory = True),
        "_cc_toolchain": attr.label(default = "@bazel_tools//tools/cpp:current_cc_toolchain"),
    },
    fragments = ["cpp"],
    toolchains = ["@bazel_tools//tools/cpp:toolchain_type"],
)
