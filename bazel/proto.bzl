"""Messages and services from .proto files, by Debian's protoc and gRPC plugin.

The import root is the folder proto/: a file there imports "nark/v1/common.proto",
and C++ includes "nark/v1/common.pb.h".
"""

_ROOT = "proto"

_ProtoFiles = provider(
    doc = "Proto sources and all they import.",
    fields = {"direct": "list of files", "transitive": "depset of files"},
)

def _proto_files(ctx):
    transitive = depset(
        ctx.files.srcs,
        transitive = [dep[_ProtoFiles].transitive for dep in ctx.attr.deps],
    )
    return [
        _ProtoFiles(direct = ctx.files.srcs, transitive = transitive),
        DefaultInfo(files = depset(ctx.files.srcs)),
    ]

_nark_proto_files = rule(
    implementation = _proto_files,
    attrs = {
        "srcs": attr.label_list(allow_files = [".proto"]),
        "deps": attr.label_list(providers = [_ProtoFiles]),
    },
)

def _proto_root(ctx):
    # As a system folder, so that the house's warnings do not reach generated code.
    context = cc_common.create_compilation_context(
        system_includes = depset([ctx.bin_dir.path + "/" + _ROOT]),
    )
    return [CcInfo(compilation_context = context)]

nark_proto_root = rule(
    implementation = _proto_root,
    doc = "Lets C++ include generated headers by their path below the import root.",
)

def _generated(ctx):
    files = ctx.attr.proto[_ProtoFiles]
    headers = []
    sources = []
    for source in files.direct:
        if not source.short_path.startswith(_ROOT + "/"):
            fail("%s is not in %s/" % (source.short_path, _ROOT))
        stem = source.basename[:-len("proto")] + ctx.attr.infix
        headers.append(ctx.actions.declare_file(stem + ".h"))
        sources.append(ctx.actions.declare_file(stem + ".cc"))

    arguments = ctx.actions.args()
    arguments.add("--proto_path=" + _ROOT)
    arguments.add("--proto_path=/usr/include")
    arguments.add_all(ctx.attr.options)
    arguments.add("--%s_out=%s/%s" % (ctx.attr.language, ctx.bin_dir.path, _ROOT))
    arguments.add_all(files.direct)
    ctx.actions.run(
        executable = "/usr/bin/protoc",
        arguments = [arguments],
        inputs = files.transitive,
        outputs = headers + sources,
        mnemonic = "Protoc",
        progress_message = "Generating code from %s" % ctx.attr.proto.label,
    )
    return [
        DefaultInfo(files = depset(headers + sources)),
        OutputGroupInfo(headers = depset(headers), sources = depset(sources)),
    ]

_nark_generated = rule(
    implementation = _generated,
    attrs = {
        "proto": attr.label(providers = [_ProtoFiles]),
        "language": attr.string(doc = "protoc writes --LANGUAGE_out"),
        "options": attr.string_list(),
        "infix": attr.string(doc = "X.proto becomes X.INFIX.h and X.INFIX.cc"),
    },
)

def _generated_cc_library(name, proto, language, infix, deps, visibility, tags, options = []):
    generated = name + "_generated"
    _nark_generated(
        name = generated,
        proto = proto,
        language = language,
        options = options,
        infix = infix,
        tags = tags,
        visibility = ["//visibility:private"],
    )
    for group in ["headers", "sources"]:
        native.filegroup(
            name = generated + "_" + group,
            srcs = [":" + generated],
            output_group = group,
            tags = tags,
            visibility = ["//visibility:private"],
        )
    native.cc_library(
        name = name,
        srcs = [":" + generated + "_sources"],
        hdrs = [":" + generated + "_headers"],
        # Generated constructors register messages: keep them for reflection.
        alwayslink = True,
        tags = tags,
        visibility = visibility,
        deps = deps + ["//bazel:proto_root"],
    )

def nark_proto_library(name, srcs, deps = [], visibility = None, tags = []):
    """Messages: makes NAME, the files, and NAME_cc, a cc_library without gRPC.

    Args:
      name: one target a file, called as the file is.
      srcs: .proto files in this package, which lies in proto/.
      deps: other nark_proto_library or nark_grpc_library targets that srcs import.
      visibility: of both.
      tags: of both.
    """
    _nark_proto_files(name = name, srcs = srcs, deps = deps, visibility = visibility, tags = tags)
    _generated_cc_library(
        name = name + "_cc",
        proto = ":" + name,
        language = "cpp",
        infix = "pb",
        deps = [_cc_label(dep) for dep in deps] + ["//bazel/third_party:protobuf"],
        visibility = visibility,
        tags = tags,
    )

def nark_grpc_library(name, srcs, deps = [], visibility = None, tags = []):
    """Messages and services: as nark_proto_library, and NAME_grpc_cc with the stubs.

    A file that includes a .grpc.pb.h costs seconds; NAME_cc does not bring it in.

    Args:
      name: one target a file, called as the file is.
      srcs: .proto files in this package, which lies in proto/.
      deps: other nark_proto_library or nark_grpc_library targets that srcs import.
      visibility: of all three.
      tags: of all three.
    """
    nark_proto_library(name = name, srcs = srcs, deps = deps, visibility = visibility, tags = tags)
    _generated_cc_library(
        name = name + "_grpc_cc",
        proto = ":" + name,
        language = "grpc",
        infix = "grpc.pb",
        options = ["--plugin=protoc-gen-grpc=/usr/bin/grpc_cpp_plugin"],
        deps = [":" + name + "_cc", "//bazel/third_party:grpc"],
        visibility = visibility,
        tags = tags,
    )

def _cc_label(label):
    if ":" in label:
        return label + "_cc"
    return label + ":" + label.split("/")[-1] + "_cc"
