"""The parts of tests/run: what to hand to Bazel, and how to tell the result."""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

import cases
from cases import FAILED, PASSED, SKIPPED, Case

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NOT_UNIT = ["-//tests/e2e/..."]
# Reads sources, and nothing that a sanitizer could see.
NOT_SANITIZED = [*NOT_UNIT, "-//tests/layers/..."]
# What starts threads, or has gRPC or httplib start them.
STARTS_THREADS = re.compile(
    r"\b(std::(jthread|thread|async)|pthread_create|ServerBuilder|httplib::Server|Create(Custom)?Channel)\b"
)
DOES_LESS = re.compile(r"sanitized\.h|hardening\.h|NARK_SANITIZED|GTEST_SKIP")
# What tests/deploy/check knows.
DEPLOY_PARTS = (
    "units",
    "configuration",
    "kubernetes",
    "metrics",
    "rules",
    "package",
    "container",
    "pages",
    "mistakes",
)
# Bazel's exit statuses that only say that tests failed, or that there are none.
TOLD_BY_CASES = (0, 3, 4)


def say(text):
    print(text, flush=True)


def progress(text):
    if sys.stderr.isatty():
        print(f"tests/run: {text}", file=sys.stderr, flush=True)


def shared_folders():
    """Where third parties' data lies, as Bazel's options for the tests."""
    options = []
    for name, default in (("NARK_VECTOR_DIR", "../shared/vectors"), ("NARK_MEDIA_DIR", "../shared/media")):
        folder = os.path.abspath(os.path.join(ROOT, os.environ.get(name, default)))
        if os.path.isdir(folder):
            options.append(f"--test_env={name}={folder}")
    return options


def bazel(verb, options, targets):
    """Runs Bazel quietly; on a terminal it shows its own progress. Returns its
    exit status and, where that was not shown, what it said."""
    command = ["bazel", verb, *options, "--", *targets]
    if sys.stderr.isatty():
        return subprocess.run(command, cwd=ROOT, stdout=sys.stderr).returncode, ""
    quiet = ["--color=no", "--curses=no", "--noshow_progress", "--ui_event_filters=-info,-debug"]
    command[2:2] = quiet
    done = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    return done.returncode, done.stdout


def run_tests(name, options, targets):
    """Builds and runs test targets; one Case for each test case."""
    progress(name)
    with tempfile.TemporaryDirectory() as folder:
        events = os.path.join(folder, "events.json")
        status, said = bazel(
            "test",
            [
                *options,
                *shared_folders(),
                "--keep_going",
                "--nobuild_tests_only" if "--compilation_mode=opt" in options else "--build_tests_only",
                "--test_output=summary",
                "--test_summary=none",
                f"--build_event_json_file={events}",
            ],
            targets,
        )
        found = []
        if os.path.exists(events):
            with open(events, encoding="utf-8") as lines:
                for run in cases.target_runs(lines):
                    found += cases.cases_of(run)
    if status not in TOLD_BY_CASES:
        found.append(Case("bazel", f"{name}: bazel ended with status {status}", FAILED, said))
    return found


def run_command(name, command, skip_status=77):
    """A check that is no Bazel target; exit status 77 means skipped."""
    progress(name)
    done = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    outcome = {0: PASSED, skip_status: SKIPPED}.get(done.returncode, FAILED)
    return Case("lint", name, outcome, done.stdout.strip())


def check_format():
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", "*.cc", "*.h"], cwd=ROOT, capture_output=True, text=True
    )
    files = [f for f in listed.stdout.split("\0") if f and os.path.exists(os.path.join(ROOT, f))]
    if listed.returncode != 0 or not files:
        return Case("lint", "format", SKIPPED, "no git checkout, so no list of files")
    return run_command("format", ["clang-format-14", "--dry-run", "-Werror", "-ferror-limit=3", *files])


def lint(_arguments=None):
    found = [check_format()]
    buf = os.path.join(ROOT, "tests", "buf_lint.sh")
    if os.path.exists(buf):
        found.append(run_command("contracts (buf lint)", [buf]))
    for part in DEPLOY_PARTS:
        found.append(run_command(f"deployment ({part})", [os.path.join("tests", "deploy", "check"), part]))
    return found


def part_lint(arguments):
    return lint() + run_tests("layers", ["--compilation_mode=opt"], ["//tests/layers/..."])


def part_unit(arguments):
    targets = arguments.targets or ["//...", *NOT_UNIT]
    return run_tests("unit", ["--compilation_mode=opt"], targets)


def part_e2e(arguments):
    return run_tests("e2e", ["--compilation_mode=opt"], arguments.targets or ["//tests/e2e/..."])


def part_asan(arguments):
    return run_tests("asan", ["--config=asan"], arguments.targets or ["//..."])


def planted_races():
    """TSan must see the races that are there, or what it says of the rest is worth nothing."""
    targets = query("attr(tags, 'planted_race', kind(cc_binary, //tests/tsan:all))")
    progress("planted races")
    if not targets:
        return [Case("bazel", "planted races", FAILED, "there are none in tests/tsan")]
    status, said = bazel("build", ["--config=tsan"], targets)
    if status != 0:
        return [Case("bazel", f"planted races: bazel ended with status {status}", FAILED, said)]
    found = []
    for target in targets:
        done = subprocess.run(
            ["timeout", "60", program_path(target, ".tsan/bin")],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        )
        seen = done.returncode != 0 and "ThreadSanitizer: data race" in done.stdout
        outcome, output = (PASSED, "") if seen else (FAILED, f"TSan saw no race\n{done.stdout}")
        found.append(Case(target, "TSan sees a planted race", outcome, output))
    return found


def sources_with(pattern):
    """The labels of C++ sources in which a pattern is found."""
    labels = []
    for label in query("kind('source file', //...:*)"):
        path = os.path.join(ROOT, label.removeprefix("//").replace(":", "/"))
        if path.endswith((".cc", ".h")):
            with open(path, encoding="utf-8") as source:
                if pattern.search(source.read()):
                    labels.append(label)
    return labels


def threaded_tests():
    """The tests in one process that link code of ours which starts threads. Those that
    drive the real programs want all of these built, and start few threads themselves."""
    threaded = sources_with(STARTS_THREADS)
    tests = " ".join(["//...", *NOT_SANITIZED, "-//bazel/third_party/..."]).replace(" -", " - ")
    linking = f"rdeps({tests}, set({' '.join(threaded)})) except rdeps({tests}, //tests/harness:world)"
    return query(f"tests({linking})")


def lightened_tests():
    """The tests that do less, or nothing, in a sanitized build."""
    sources = [label for label in sources_with(DOES_LESS) if label.endswith("_test.cc")]
    by_source = f"tests(rdeps(//..., set({' '.join(sources)}), 1))"
    return query(f"{by_source} union attr(tags, 'unsanitized', tests(//...))")


def tsan(targets):
    return planted_races() + run_tests("tsan", ["--config=tsan"], targets)


def part_tsan(arguments):
    return tsan(arguments.targets or ["//...", *NOT_SANITIZED])


def part_simulate(arguments):
    options = [
        "--compilation_mode=opt",
        f"--test_env=NARK_SEEDS={arguments.seeds}",
        f"--test_env=NARK_FIRST_SEED={arguments.first}",
        "--test_timeout=3600",
    ]
    return run_tests("simulate", options, ["//tests/simulation:simulation_test"])


def part_fleet(arguments):
    options = [
        "--compilation_mode=opt",
        f"--test_env=NARK_FLEET_SECONDS={arguments.seconds}",
        "--test_timeout=7200",
    ]
    return run_tests("fleet", options, ["//tests/e2e:fleet_test"])


def part_soak(arguments):
    options = [
        "--compilation_mode=opt",
        f"--test_env=NARK_SOAK_SECONDS={arguments.seconds}",
        f"--test_timeout={arguments.seconds + 600}",
        "--nocache_test_results",
    ]
    found = run_tests("soak", options, ["//tests/e2e:soak_test"])
    for case in found:
        if case.outcome == PASSED:
            say(case.output)
    return found


def part_all(arguments):
    found = lint()
    # Most of unit is in the sanitized build only: compiling all of it twice takes a third more.
    found += run_tests("opt", ["--compilation_mode=opt"], ["//tests/...", *lightened_tests()])
    found += run_tests("asan", ["--config=asan"], ["//...", *NOT_SANITIZED])
    found += tsan(threaded_tests())
    return found


def query(expression):
    command = ["bazel", "query", "--noshow_progress", "--ui_event_filters=-info", expression]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"tests/run: bazel query failed:\n{done.stderr}")
    return done.stdout.split()


def program_path(label, prefix):
    package, name = label.removeprefix("//").split(":")
    return os.path.join(ROOT, prefix, package, name)


def corpus_of(target):
    """The committed inputs of a fuzz target: the data of its replaying test."""
    labels = query(f"kind('source file', labels(data, {target}_replay))")
    return [os.path.join(ROOT, label.removeprefix("//").replace(":", "/")) for label in labels]


def fuzz_one(target, seconds):
    progress(f"{target} for {seconds} s")
    name = target.split(":")[1]
    folder = os.path.join(ROOT, "out", "fuzz", name)
    corpus, crashes = os.path.join(folder, "corpus"), os.path.join(folder, "crashes")
    os.makedirs(corpus, exist_ok=True)
    os.makedirs(crashes, exist_ok=True)
    for number, path in enumerate(corpus_of(target)):
        shutil.copyfile(path, os.path.join(corpus, f"committed-{number}-{os.path.basename(path)}"))
    command = [
        program_path(target, ".fuzz/bin"),
        corpus,
        f"-max_total_time={seconds}",
        f"-artifact_prefix={crashes}/",
        "-print_final_stats=1",
        "-rss_limit_mb=2048",
        "-timeout=10",
    ]
    with open(os.path.join(folder, "log"), "w", encoding="utf-8") as log:
        status = subprocess.run(command, cwd=ROOT, stdout=log, stderr=log).returncode
    if status == 0:
        return Case(target, name, PASSED)
    with open(os.path.join(folder, "log"), encoding="utf-8", errors="replace") as log:
        tail = "".join(log.readlines()[-60:])
    return Case(target, name, FAILED, f"{tail}\ninputs that fail lie in {crashes}")


def part_fuzz(arguments):
    targets = arguments.targets or ["//..."]
    programs = []
    for pattern in targets:
        programs += query(f"attr(tags, 'fuzz', kind(cc_binary, {pattern}))")
    if not programs:
        return [Case("fuzz", " ".join(targets), SKIPPED, "no fuzz target here")]
    progress("building fuzz targets")
    status, said = bazel("build", ["--config=fuzz"], programs)
    if status != 0:
        return [Case("bazel", f"fuzz: bazel ended with status {status}", FAILED, said)]
    return [fuzz_one(program, arguments.seconds) for program in programs]


def part_bench(arguments):
    import bench

    return bench.run(ROOT, arguments, bazel, progress)


def tell(found):
    """Prints what failed, with its output, what was skipped, and the counts."""
    if all(case.outcome == SKIPPED for case in found):
        found.append(Case("tests/run", "nothing was run", FAILED, "no test case was found"))
    for case in found:
        if case.outcome == FAILED:
            say(f"FAILED {case.name} ({case.target})")
            say("".join(f"    {line}\n" for line in case.output.splitlines()))
    for case in found:
        if case.outcome == SKIPPED:
            why = ([line.strip() for line in case.output.splitlines() if line.strip()] or ["no reason given"])[-1]
            say(f"skipped {case.name} ({case.target}): {why}")
    count = {o: sum(case.outcome == o for case in found) for o in (PASSED, FAILED, SKIPPED)}
    say(f"{count[PASSED]} passed, {count[FAILED]} failed, {count[SKIPPED]} skipped")
    return 1 if count[FAILED] else 0


def parse(words):
    parser = argparse.ArgumentParser(prog="tests/run", add_help=False)
    parts = parser.add_subparsers(dest="part")
    for name in ("unit", "e2e", "asan", "tsan", "fuzz"):
        part = parts.add_parser(name)
        part.add_argument("targets", nargs="*")
        if name == "fuzz":
            part.add_argument("--seconds", type=int, default=60)
    parts.add_parser("lint")
    simulate = parts.add_parser("simulate")
    simulate.add_argument("--seeds", type=int, default=100)
    simulate.add_argument("--first", type=int, default=1)
    fleet = parts.add_parser("fleet")
    fleet.add_argument("--seconds", type=int, default=180)
    soak = parts.add_parser("soak")
    soak.add_argument("--seconds", type=int, default=180)
    bench_part = parts.add_parser("bench")
    bench_part.add_argument("--json", action="store_true")
    return parser.parse_args(words)


def main(words):
    arguments = parse(words)
    parts = {
        None: part_all,
        "unit": part_unit,
        "e2e": part_e2e,
        "asan": part_asan,
        "tsan": part_tsan,
        "lint": part_lint,
        "simulate": part_simulate,
        "fleet": part_fleet,
        "soak": part_soak,
        "fuzz": part_fuzz,
        "bench": part_bench,
    }
    started = time.monotonic()
    found = parts[arguments.part](arguments)
    progress(f"{time.monotonic() - started:.0f} s")
    if arguments.part == "bench" and arguments.json:
        return 1 if any(case.outcome == FAILED for case in found) else 0
    return tell(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
