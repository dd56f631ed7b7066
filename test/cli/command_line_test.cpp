#include "cli/command_line.hpp"

#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "cli/completion.hpp"

namespace weir {
namespace {

using Words = std::vector<std::string>;
using Catch::Matchers::Contains;

const std::string id = "0123456789abcdef0123456789abcdef";

/// Reads `words`, which must be right, as a command of type `T`.
template <class T>
T parsed(const Words& words) {
  auto command = parse_command_line(words);
  if (!command) FAIL(command.error().what);
  REQUIRE(std::holds_alternative<T>(*command));
  return std::get<T>(std::move(*command));
}

/// The sentence about `words`, which must be wrong.
std::string refused(const Words& words) {
  const auto command = parse_command_line(words);
  REQUIRE_FALSE(command);
  CHECK(command.error().code == Errc::invalid_argument);
  CHECK(command.error().what.find('\n') == std::string::npos);
  return command.error().what;
}

}  // namespace

TEST_CASE("options of run stand before the library and every word behind it is the job's",
          "[cli]") {
  const auto run = parsed<RunCommand>({"run",      "-s",     "latest",
                                       "-n",       "-p",     "3",
                                       "-d",       "-D",     "state.backend=rocksdb",
                                       "--name",   "other",  "--trace",
                                       "t",        "--json", "-v",
                                       "--config", "c.yaml", "job.so",
                                       "-p",       "9",      "--help",
                                       "--",       "-D"});
  CHECK(run.restore == "latest");
  CHECK(run.allow_non_restored_state);
  CHECK(run.detached);
  CHECK(run.verbose);
  CHECK(run.trace_file == "t");
  CHECK(run.common.json);
  CHECK(run.common.configuration_file == "c.yaml");
  CHECK(run.common.settings.execution().parallelism == 3);
  CHECK(run.common.settings.execution().job_name == "other");
  CHECK(run.common.settings.state_backend().kind == StateBackendKind::rocksdb);
  CHECK(run.library == "job.so");
  CHECK(run.arguments == Words{"-p", "9", "--help", "--", "-D"});
}

TEST_CASE("run takes Flink's long names and values behind an equals sign", "[cli]") {
  const auto run =
      parsed<RunCommand>({"run", "--fromSavepoint=/tmp/s p", "--allowNonRestoredState",
                          "--parallelism=2", "--detached", "-Dparallelism.default=5", "j.so"});
  CHECK(run.restore == "/tmp/s p");
  CHECK(run.allow_non_restored_state);
  CHECK(run.detached);
  CHECK(run.common.settings.execution().parallelism == 2);
  CHECK(run.arguments.empty());
}

TEST_CASE("-D repeats and the last one wins", "[cli]") {
  const auto run = parsed<RunCommand>(
      {"run", "-D", "parallelism.default=2", "-D", "parallelism.default=4", "j.so"});
  CHECK(run.common.settings.execution().parallelism == 4);
}

TEST_CASE("words of run may be the names of verbs", "[cli]") {
  const auto run = parsed<RunCommand>({"run", "list", "cancel"});
  CHECK(run.library == "list");
  CHECK(run.arguments == Words{"cancel"});
}

TEST_CASE("options of the other verbs stand before or behind their words", "[cli]") {
  for (const Words& words :
       {Words{"savepoint", "--json", id, "dir"}, Words{"savepoint", id, "--json", "dir"},
        Words{"savepoint", id, "dir", "--json"}}) {
    const auto savepoint = parsed<SavepointCommand>(words);
    CHECK(savepoint.common.json);
    CHECK(savepoint.job == id);
    CHECK(savepoint.target == "dir");
  }
  CHECK(parsed<InfoCommand>({"info", id, "--json"}).common.json);
  CHECK(parsed<ListCommand>({"list", "--json"}).common.json);
  CHECK(parsed<CheckpointCommand>({"checkpoint", "--config", "f", id}).job == id);
  CHECK(parsed<CheckpointCommand>({"checkpoint", id, "--config", "f"}).job == id);
  CHECK(parsed<SavepointCommand>({"savepoint", id}).target.empty());
}

TEST_CASE("savepoint -d deletes and needs no job", "[cli]") {
  CHECK(parsed<DisposeCommand>({"savepoint", "-d", "/s"}).path == "/s");
  CHECK(parsed<DisposeCommand>({"savepoint", "--dispose", "/s", "--json"}).common.json);
  CHECK_THAT(refused({"savepoint", "-d", "/s", id}), Contains(id));
}

TEST_CASE("cancel -s takes a directory if another word stands behind it", "[cli]") {
  const auto plain = parsed<CancelCommand>({"cancel", id});
  CHECK_FALSE(plain.with_savepoint);
  CHECK(plain.job == id);
  for (const Words& words :
       {Words{"cancel", "-s", id}, Words{"cancel", id, "-s"}, Words{"cancel", "-s", "--json", id},
        Words{"cancel", id, "--withSavepoint"}}) {
    const auto cancel = parsed<CancelCommand>(words);
    CHECK(cancel.with_savepoint);
    CHECK(cancel.job == id);
    CHECK(cancel.target.empty());
  }
  for (const Words& words :
       {Words{"cancel", "-s", "dir", id}, Words{"cancel", id, "-s", "dir"},
        Words{"cancel", "--withSavepoint=dir", id}, Words{"cancel", "-s", "dir", "--json", id}}) {
    const auto cancel = parsed<CancelCommand>(words);
    CHECK(cancel.with_savepoint);
    CHECK(cancel.job == id);
    CHECK(cancel.target == "dir");
  }
}

TEST_CASE("stop drains on request", "[cli]") {
  CHECK_FALSE(parsed<StopCommand>({"stop", id}).drain);
  CHECK(parsed<StopCommand>({"stop", id, "--drain"}).drain);
  const auto stop = parsed<StopCommand>({"stop", "--drain", "-p", "dir", id});
  CHECK(stop.drain);
  CHECK(stop.target == "dir");
  CHECK(stop.job == id);
  CHECK(parsed<StopCommand>({"stop", "-d", id}).drain);
}

TEST_CASE("compile leaves what is behind -- to the compiler", "[cli]") {
  const auto compile =
      parsed<CompileCommand>({"compile", "job.cpp", "-o", "job.so", "--", "-O3", "-o", "x"});
  CHECK(compile.sources == Words{"job.cpp"});
  CHECK(compile.output == "job.so");
  CHECK(compile.flags == Words{"-O3", "-o", "x"});
  CHECK(parsed<CompileCommand>({"compile", "-o", "job.so", "a.cpp", "b.cpp"}).sources.size() == 2);
}

TEST_CASE("help and version are printed", "[cli]") {
  CHECK_THAT(parsed<PrintCommand>({"--version"}).text, Contains("weir "));
  const std::string help = parsed<PrintCommand>({"--help"}).text;
  CHECK(parsed<PrintCommand>({"help"}).text == help);
  CHECK(parsed<PrintCommand>({"-h"}).text == help);
  CHECK(parsed<PrintCommand>({"--help", "list"}).text ==
        parsed<PrintCommand>({"list", "--help"}).text);
  for (const auto& verb : describe_verbs()) {
    CHECK_THAT(help, Contains(verb.name));
    const std::string own = parsed<PrintCommand>({verb.name, "--help"}).text;
    CHECK_THAT(own, Contains("Usage: weir " + verb.name));
    CHECK(parsed<PrintCommand>({"help", verb.name}).text == own);
    for (const auto& option : verb.options) CHECK_THAT(own, Contains(option.long_name));
  }
}

TEST_CASE("a wrong word is refused with the nearest right one", "[cli]") {
  CHECK_THAT(refused({"cancle", id}), Contains("'cancle'") && Contains("'cancel'"));
  CHECK_THAT(refused({"run", "--paralelism", "2", "j.so"}), Contains("'--parallelism'"));
  CHECK_THAT(refused({"list", "--jsno"}), Contains("'--json'"));
  CHECK_THAT(refused({"savepoint", id, "--dispos"}), Contains("'--dispose'"));
  CHECK_THAT(refused({"run", "-D", "state.backnd=fs", "j.so"}), Contains("state.backend"));
  CHECK_THAT(refused({"list", "-D", "state.backend=rocks"}), Contains("rocksdb"));
  CHECK_THAT(refused({"completion", "bsh"}), Contains("only for bash, zsh and fish"));
  CHECK_THAT(refused({"--versoin"}), Contains("'--version'"));
  CHECK(refused({"frobnicate"}) == "unknown verb 'frobnicate'; `weir --help` lists the verbs");
  CHECK(refused({"list", "--frobnicate"}) ==
        "list: unknown option '--frobnicate'; --help behind the verb shows its options");
}

TEST_CASE("a setting of the job is refused by verbs on which it has no effect", "[cli]") {
  const std::vector<Words> verbs{
      {"list"},     {"info", id},       {"savepoint", id},        {"cancel", id},
      {"stop", id}, {"checkpoint", id}, {"savepoint", "-d", "/s"}};
  for (Words words : verbs) {
    words.insert(words.begin() + 1, {"-D", "state.savepoints.dir=/s"});
    CHECK(refused(words) == words[0] +
                                " -D state.savepoints.dir is a setting of the job, which has no "
                                "effect here; give it to `weir run`");
    words[2] = "client.timeout=1s";
    CHECK(parse_command_line(words));
  }
}

TEST_CASE("missing, superfluous and malformed words are refused", "[cli]") {
  CHECK_THAT(refused({}), Contains("--help"));
  CHECK_THAT(refused({"run"}), Contains("JOB.so"));
  CHECK_THAT(refused({"run", "-p", "2"}), Contains("JOB.so"));
  CHECK_THAT(refused({"run", "-p", "two", "j.so"}), Contains("two"));
  CHECK_THAT(refused({"run", "-p", "0", "j.so"}), Contains("-p"));
  CHECK_THAT(refused({"run", "-p", "-1", "j.so"}), Contains("'-1'") && Contains("1 to 32768"));
  CHECK_THAT(refused({"run", "-s", "a", "-s", "b", "j.so"}), Contains("more than once"));
  CHECK_THAT(refused({"run", "-D", "novalue", "j.so"}), Contains("KEY=VALUE"));
  CHECK_THAT(refused({"info"}), Contains("weir list"));
  CHECK_THAT(refused({"info", "word_count"}), Contains("no job id"));
  CHECK_THAT(refused({"info", "01234"}), Contains("too short"));
  CHECK_THAT(refused({"info", id + "0"}), Contains("no job id"));
  CHECK_THAT(refused({"info", id, id}), Contains("unexpected word"));
  CHECK_THAT(refused({"cancel", "-s"}), Contains("which job"));
  CHECK_THAT(refused({"list", "x"}), Contains("unexpected word"));
  CHECK_THAT(refused({"compile"}), Contains("JOB.cpp"));
  CHECK_THAT(refused({"completion"}), Contains("which shell"));
}

TEST_CASE("an option without its value takes no other word for it", "[cli]") {
  struct Row {
    Words words;
    std::string expected;
  };
  const std::vector<Row> rows{
      // Missing: nothing behind it, an option behind it, nothing behind the equals sign, an empty word.
      {{"run", "-p"}, "run --parallelism needs a value: N"},
      {{"run", "--parallelism="}, "run --parallelism needs a value: N"},
      {{"run", "--parallelism=", "j.so"}, "run --parallelism needs a value: N"},
      {{"run", "-p", "", "j.so"},
       "run --parallelism needs a value: N; the word behind it is empty"},
      {{"run", "-p", "--json", "j.so"},
       "run --parallelism needs a value: N; behind it stands '--json', an option"},
      {{"run", "-s"}, "run --fromSavepoint needs a value: PATH|latest"},
      {{"run", "--fromSavepoint=", "j.so"}, "run --fromSavepoint needs a value: PATH|latest"},
      {{"run", "-s", "-n", "j.so"},
       "run --fromSavepoint needs a value: PATH|latest; behind it stands '-n', an option"},
      {{"run", "--name"}, "run --name needs a value: NAME"},
      {{"run", "--name=", "j.so"}, "run --name needs a value: NAME"},
      {{"run", "--trace", "-v", "j.so"},
       "run --trace needs a value: FILE; behind it stands '-v', an option"},
      {{"run", "-D"}, "run -D needs a value: KEY=VALUE"},
      {{"run", "-D", "-n", "j.so"},
       "run -D needs a value: KEY=VALUE; behind it stands '-n', an option"},
      {{"list", "--config"}, "list --config needs a value: FILE"},
      {{"list", "--config="}, "list --config needs a value: FILE"},
      {{"savepoint", "-d"}, "savepoint --dispose needs a value: PATH"},
      {{"savepoint", "-d", "--json", "/s"},
       "savepoint --dispose needs a value: PATH; behind it stands '--json', an option"},
      {{"savepoint", "--dispose=", "/s"}, "savepoint --dispose needs a value: PATH"},
      {{"cancel", "--withSavepoint=", id}, "cancel --withSavepoint needs a value: DIRECTORY"},
      {{"cancel", "-s", "", id},
       "cancel --withSavepoint needs a value: DIRECTORY; the word behind it is empty"},
      {{"stop", "-p"}, "stop --savepointPath needs a value: DIRECTORY"},
      {{"stop", "--savepointPath=", id}, "stop --savepointPath needs a value: DIRECTORY"},
      {{"stop", "-p", "--drain", id},
       "stop --savepointPath needs a value: DIRECTORY; behind it stands '--drain', an option"},
      {{"compile", "a.cpp", "-o"}, "compile --output needs a value: FILE"},
      {{"compile", "a.cpp", "--output="}, "compile --output needs a value: FILE"},
      // Not the option's: a value of a flag, an equals sign behind a letter.
      {{"list", "--json=true"}, "list --json takes no value, and '--json=true' gives it one"},
      {{"list", "--json="}, "list --json takes no value, and '--json=' gives it one"},
      {{"run", "-d=x", "j.so"}, "run --detached takes no value, and '-d=x' gives it one"},
      {{"stop", "--drain=no", id}, "stop --drain takes no value, and '--drain=no' gives it one"},
      {{"run", "-p=2", "j.so"}, "run: in '-p=2' the value begins with '='; write '-p 2'"},
      {{"run", "-dp=2", "j.so"}, "run: in '-dp=2' the value begins with '='; write '-p 2'"},
  };
  for (const auto& [words, expected] : rows) CHECK(refused(words) == expected);

  CHECK(parsed<DisposeCommand>({"savepoint", "--dispose=-s", "--json"}).path == "-s");
  CHECK(parsed<RunCommand>({"run", "-dp2", "j.so"}).common.settings.execution().parallelism == 2);
  CHECK(parsed<RunCommand>({"run", "-nds", "latest", "j.so"}).restore == "latest");
}

TEST_CASE("each verb says of a missing, surplus, unknown or empty word what is wrong", "[cli]") {
  struct Row {
    Words words;
    std::string expected;
  };
  const std::string which_job = "which job? Name it by its id; `weir list` shows the ids";
  std::vector<Row> rows{
      {{""}, "no verb is given; `weir --help` lists them"},
      {{"-v"}, "unknown option '-v'"},
      {{"version"}, "unknown verb 'version'; did you mean '--version'?"},
      {{"--version", "x"}, "unexpected word 'x' behind --version"},
      {{"help", "runn"}, "unknown verb 'runn'; did you mean 'run'?"},
      {{"help", "run", "x"}, "unexpected word 'x'; name one verb"},
      {{"--help", "run", "x"}, "unexpected word 'x'; name one verb"},
      {{"run"}, "run: which job? usage: weir run [OPTIONS] JOB.so [JOB ARGUMENTS]"},
      {{"run", ""}, "run: which job? usage: weir run [OPTIONS] JOB.so [JOB ARGUMENTS]"},
      {{"run", "--", "j.so"}, "run: unexpected word '--'"},
      {{"run", "--fromSavepont=x", "j.so"},
       "run: unknown option '--fromSavepont'; did you mean '--fromSavepoint'?"},
      {{"run", "--allowNonRestored", "j.so"},
       "run: unknown option '--allowNonRestored'; did you mean '--allowNonRestoredState'?"},
      {{"list", "x"}, "list: unexpected word 'x'"},
      {{"list", "", "x"}, "list: one of the words is empty; write it or leave it out"},
      {{"info", id, "x"}, "info: unexpected word 'x'; usage: weir info [OPTIONS] JOB"},
      {{"savepoint", id, "a", "b"},
       "savepoint: unexpected word 'b'; usage: weir savepoint [OPTIONS] JOB [DIRECTORY]"},
      {{"savepoint", id, ""}, "savepoint: one of the words is empty; write it or leave it out"},
      {{"savepoint", "-d", "/s", id},
       "savepoint: unexpected word '" + id + "'; -d takes one path and no job"},
      {{"cancel", "-s"}, "cancel: " + which_job},
      {{"cancel", "-s", "a", "b", id},
       "cancel: unexpected word '" + id + "'; usage: weir cancel [-s [DIRECTORY]] [OPTIONS] JOB"},
      {{"cancel", "-s", "dir"},
       "cancel: 'dir' is no job id, which has 32 lowercase hex digits; "
       "`weir list` shows the ids"},
      {{"stop", "--drain"}, "stop: " + which_job},
      {{"stop", id, id},
       "stop: unexpected word '" + id + "'; usage: weir stop [--drain] [OPTIONS] JOB"},
      {{"checkpoint", id, "x"},
       "checkpoint: unexpected word 'x'; usage: weir checkpoint [OPTIONS] JOB"},
      {{"checkpoint", "0123"},
       "checkpoint: '0123' is too short for a job id; give all 32 digits, "
       "or at least the first 6"},
      {{"scenario"},
       "scenario: run a scenario, or write a new one? usage: weir scenario run FILE.yaml, or weir "
       "scenario new FILE.yaml"},
      {{"scenario", "rnu"}, "scenario: 'rnu' is neither run nor new; did you mean 'run'?"},
      {{"scenario", "run"}, "scenario: which scenario? usage: weir scenario run FILE.yaml..."},
      {{"scenario", "new", "a", "b"}, "scenario: unexpected word 'b'; name one file"},
      {{"scenario", "new", "--real"}, "scenario --real is an option of `weir scenario run`"},
      {{"scenario", "run", "a", "--simulate", "--real"},
       "scenario --simulate and --real contradict each other; leave one out"},
      {{"scenario", "run", "a", "--seed", "3"},
       "scenario --seed is what a simulation draws from, and there is no --simulate"},
      {{"scenario", "run", "a", "--simulate", "--seed", "-3"},
       "scenario --seed takes a whole number from 0, and '-3' is none"},
      {{"scenario", "run", "a", "b", "--diagram", "d.svg"},
       "scenario --diagram draws one scenario, and there are 2"},
      {{"compile"}, "compile: which source? usage: weir compile JOB.cpp -o JOB.so"},
      {{"compile", "-o", "a.so"}, "compile: which source? usage: weir compile JOB.cpp -o JOB.so"},
      {{"compile", "a.cpp", "-O3"},
       "compile: unknown option '-O3'; the compiler's own stand behind --"},
      {{"completion"}, "completion: which shell: bash, zsh or fish?"},
      {{"completion", "bash", "zsh"}, "completion: unexpected word 'zsh'; name one shell"},
      {{"completion", "tcsh"},
       "completion: there is no completion for 'tcsh', only for bash, zsh and fish"},
  };
  for (const std::string verb : {"info", "savepoint", "checkpoint", "cancel", "stop"}) {
    rows.push_back({{verb}, verb + ": " + which_job});
    rows.push_back({{verb, ""}, verb + ": one of the words is empty; write it or leave it out"});
    rows.push_back({{verb, "--", id}, verb + ": unexpected word '--'"});
  }
  for (const auto& [words, expected] : rows)
    CHECK_THAT(refused(words), Catch::StartsWith(expected));
  for (const std::string verb :
       {"run", "list", "info", "savepoint", "checkpoint", "cancel", "stop"}) {
    const std::string expected = verb + ": unknown option '--jsn'; did you mean '--json'?";
    CHECK(refused({verb, "--jsn"}) == expected);
    if (verb != "run") CHECK(refused({verb, id, "--jsn"}) == expected);
  }
}

TEST_CASE("a directory that no machine can have is a wrong word", "[cli]") {
  for (const std::string uri : {"hdfs://host/s", "s3://bucket/s"}) {
    for (const Words& words :
         {Words{"run", "-s", uri, "j.so"}, Words{"run", "--fromSavepoint=" + uri, "j.so"},
          Words{"savepoint", id, uri}, Words{"savepoint", "-d", uri},
          Words{"cancel", "-s", uri, id}, Words{"cancel", "--withSavepoint=" + uri, id},
          Words{"stop", "-p", uri, id}})
      CHECK_THAT(refused(words), Catch::StartsWith(words[0] + ": '" + uri + "': ") &&
                                     Contains("is not supported yet; use a path of this machine"));
    CHECK_FALSE(parse_program_line("word_count", Words{"-s", uri}));
  }
  CHECK(parsed<SavepointCommand>({"savepoint", id, "file:///s"}).target == "file:///s");
  CHECK(parsed<RunCommand>({"run", "-s", "latest", "j.so"}).restore == "latest");
}

TEST_CASE("a program with a job takes run's options before -- and the job's behind it", "[cli]") {
  const Words words{"-p", "2", "-s", "latest", "--", "--input", "x", "--", "-p"};
  const auto command = parse_program_line("word_count", words);
  REQUIRE(command);
  const auto& run = std::get<RunCommand>(*command);
  CHECK(run.library.empty());
  CHECK(run.restore == "latest");
  CHECK(run.common.settings.execution().parallelism == 2);
  CHECK(run.arguments == Words{"--input", "x", "--", "-p"});

  CHECK(parse_program_line("word_count", Words{}));
  const auto unknown = parse_program_line("word_count", Words{"--input", "x"});
  REQUIRE_FALSE(unknown);
  CHECK(unknown.error().what ==
        "unknown option '--input'; the job's own arguments stand behind --, as in `word_count -- "
        "ARGUMENTS`");
  const auto slip = parse_program_line("word_count", Words{"--jsn"});
  REQUIRE_FALSE(slip);
  CHECK_THAT(slip.error().what, Contains("did you mean '--json'? (the job's own arguments"));
  CHECK_FALSE(parse_program_line("word_count", Words{"x"}));
  const auto help = parse_program_line("word_count", Words{"--help", "--", "x"});
  REQUIRE(help);
  CHECK_THAT(std::get<PrintCommand>(*help).text, Contains("Usage: word_count"));
}

TEST_CASE("a scenario is run from its files, or written anew", "[cli]") {
  const auto run = parsed<ScenarioRunCommand>({"scenario", "run", "a.yaml", "--jobs", "x", "--jobs",
                                               "y", "b.yaml", "--junit", "j.xml", "--keep", "k",
                                               "--simulate", "--seed", "7"});
  CHECK(run.files == Words{"a.yaml", "b.yaml"});
  CHECK(run.job_directories == Words{"x", "y"});
  CHECK(run.junit == "j.xml");
  CHECK(run.keep == "k");
  CHECK(run.simulate);
  CHECK(run.seed == 7U);
  const auto one =
      parsed<ScenarioRunCommand>({"scenario", "run", "--real", "--diagram", "d.svg", "a.yaml"});
  CHECK_FALSE(one.simulate);
  CHECK(one.diagram == "d.svg");
  CHECK(parsed<ScenarioNewCommand>({"scenario", "new"}).file.empty());
  CHECK(parsed<ScenarioNewCommand>({"scenario", "new", "a.yaml"}).file == "a.yaml");
}

TEST_CASE("completion scripts name every verb and option", "[cli]") {
  for (const std::string shell : {"bash", "zsh", "fish"}) {
    const std::string script = completion_script(shell);
    for (const auto& verb : describe_verbs()) {
      CHECK_THAT(script, Contains(verb.name));
      for (const auto& option : verb.options) CHECK_THAT(script, Contains(option.long_name));
    }
    CHECK_THAT(script, Contains("state.backend="));
  }
}

}  // namespace weir
