#include "cli/command_line.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <memory>
#include <utility>

#include <CLI/CLI.hpp>

#include "cli/version.hpp"
#include "runtime/nearest.hpp"
#include "storage/uri.hpp"

namespace weir {
namespace {

/// One row for each verb: what it is called and what stands behind it.
struct Verb {
  std::string_view name;
  std::string_view usage;
  std::string_view summary;
  bool names_job = false;
  bool names_file = false;
};
constexpr std::array verbs{
    Verb{"run", "[OPTIONS] JOB.so [JOB ARGUMENTS]", "run a job in this process", false, true},
    Verb{"list", "[OPTIONS]", "list the jobs that are running"},
    Verb{"info", "[OPTIONS] JOB", "show a job: operators, checkpoints, log file", true},
    Verb{"savepoint", "[OPTIONS] JOB [DIRECTORY]", "write a savepoint, or delete one (-d PATH)",
         true},
    Verb{"checkpoint", "[OPTIONS] JOB", "take a checkpoint now", true},
    Verb{"cancel", "[-s [DIRECTORY]] [OPTIONS] JOB", "cancel a job, with -s after a savepoint",
         true},
    Verb{"stop", "[--drain] [OPTIONS] JOB", "write a savepoint and end the job", true},
    Verb{"scenario", "run [OPTIONS] FILE.yaml... | new [FILE.yaml]",
         "run scripted scenarios, or write one to begin with", false, true},
    Verb{"compile", "SOURCE.cpp [-o JOB.so] [-- COMPILER FLAGS]", "build a job", false, true},
    Verb{"completion", "bash|zsh|fish", "print the shell's completion script"},
};
/// Digits of a job's id, and how few of them may name it.
constexpr std::size_t id_digits = 32;
constexpr std::size_t shortest_id = 6;
/// What help calls the value of an option that takes a number.
constexpr const char* number_type = "N";
constexpr std::string_view options_shown = "--help behind the verb shows its options";
constexpr std::array<std::string_view, 3> shells{"bash", "zsh", "fish"};
constexpr std::array<std::string_view, 2> savepoint_types{"canonical", "native"};
constexpr std::array<std::string_view, 2> claim_modes{"NO_CLAIM", "CLAIM"};

/// Everything that words can say, before it is known to which verb it belongs.
struct Words {
  std::string configuration_file;
  std::vector<std::string> settings;
  bool json = false;
  std::string restore;
  bool allow_non_restored_state = false;
  std::string parallelism;
  bool detached = false;
  std::string name;
  std::string trace_file;
  bool verbose = false;
  std::string claim_mode;
  std::string target;  ///< of a savepoint
  std::string type;    ///< of a savepoint
  std::string dispose;
  bool drain = false;
  std::string output;
  bool simulate = false;
  bool real = false;
  std::string seed;
  std::string junit;
  std::string diagram;
  std::vector<std::string> job_directories;
  std::string keep;
  std::vector<std::string> positional;
};

std::unexpected<Error> refuse(const std::string& what) {
  return error(Errc::invalid_argument, what);
}

bool takes_value(const CLI::Option& option) { return option.get_expected_max() > 0; }

/// `Usage: ...` as the table has it.
class Formatter : public CLI::Formatter {
 public:
  explicit Formatter(std::string usage) : usage_(std::move(usage)) { column_width(34); }
  std::string make_usage(const CLI::App*, std::string) const override {
    return "Usage: " + usage_ + "\n";
  }
  std::string make_positionals(const CLI::App*) const override { return {}; }
  std::string make_option_opts(const CLI::Option* option) const override {
    if (!takes_value(*option)) return {};
    const std::string name = option->get_type_name();
    return option->get_expected_min() == 0 ? " [" + name + "]" : " " + name;
  }

 private:
  std::string usage_;
};

void add_common(CLI::App& app, Words& words) {
  app.add_option("--config", words.configuration_file,
                 "Settings to read instead of the weir.yaml in $WEIR_CONF_DIR\n"
                 "or in the working directory")
      ->type_name("FILE");
  app.add_option("-D", words.settings, "A setting; wins over the file and the job; may repeat")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  app.add_flag("--json", words.json, "Print one JSON object and nothing else");
}

void add_run(CLI::App& app, Words& words) {
  app.prefix_command();
  app.add_option("-s,--fromSavepoint", words.restore,
                 "Start from the snapshot in this directory; `latest`: go on\n"
                 "with the newest checkpoint of the job of this name")
      ->type_name("PATH|latest");
  app.add_option("--claimMode", words.claim_mode,
                 "NO_CLAIM (default): the job gets an id of its own and leaves\n"
                 "the snapshot alone; CLAIM: the checkpoint becomes the job's,\n"
                 "which goes on in its directory and deletes it when it is\n"
                 "replaced")
      ->type_name("MODE");
  app.add_flag("-n,--allowNonRestoredState", words.allow_non_restored_state,
               "Skip state of the snapshot that belongs to no operator");
  app.add_option("-p,--parallelism", words.parallelism, "Parallelism of operators that set none")
      ->type_name(number_type);
  app.add_flag("-d,--detached", words.detached, "Go on in the background; print the job's id");
  app.add_option("--name", words.name, "Name of the job, instead of the one in WEIR_JOB")
      ->type_name("NAME");
  app.add_option("--trace", words.trace_file, "Write each control message to this file, as JSON")
      ->type_name("FILE");
  app.add_flag("-v,--verbose", words.verbose, "Write more into the log file");
}

void add_type(CLI::App& app, Words& words) {
  app.add_option("--type", words.type,
                 "How a savepoint is written: canonical (default), sorted entries that are\n"
                 "the same from every state backend, or native, which is faster")
      ->type_name("TYPE");
}

void add_scenario(CLI::App& app, Words& words) {
  app.add_flag("--simulate", words.simulate,
               "In one thread, with a simulated network, disk and clock");
  app.add_flag("--real", words.real, "With real processes and files");
  app.add_option("--seed", words.seed, "What a simulation draws from")->type_name(number_type);
  app.add_option("--junit", words.junit, "Write a report in JUnit's format to this file")
      ->type_name("FILE");
  app.add_option("--diagram", words.diagram, "Draw the messages that were seen into this SVG file")
      ->type_name("FILE.svg");
  app.add_option("--jobs", words.job_directories,
                 "Look for job libraries here, before beside the scenario\n"
                 "file; may repeat")
      ->type_name("DIRECTORY")
      ->allow_extra_args(false);
  app.add_option("--keep", words.keep, "Leave the files of each run in this directory")
      ->type_name("DIRECTORY");
}

/// The options of `verb`, bound to `words`.
std::unique_ptr<CLI::App> make_parser(const Verb& verb, const std::string& usage, Words& words) {
  auto app = std::make_unique<CLI::App>(std::string(verb.summary));
  app->formatter(std::make_shared<Formatter>(usage));
  app->allow_extras();
  app->set_help_flag("-h,--help", "Show this text");
  app->option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::Throw);
  if (verb.name == "compile") {
    app->add_option("-o,--output", words.output,
                    "The library, or with a name without .so a program")
        ->type_name("FILE");
    app->add_flag("-v,--verbose", words.verbose, "Show the compiler's command");
    return app;
  }
  if (verb.name == "completion") return app;
  if (verb.name == "scenario") {
    add_scenario(*app, words);
    app->get_option("--jobs")->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    return app;
  }
  if (verb.name == "run") add_run(*app, words);
  if (verb.name == "savepoint")
    app->add_option("-d,--dispose", words.dispose, "Delete the savepoint in this directory")
        ->type_name("PATH");
  if (verb.name == "savepoint" || verb.name == "cancel" || verb.name == "stop")
    add_type(*app, words);
  if (verb.name == "cancel")
    app->add_option("-s,--withSavepoint", words.target,
                    "Write a savepoint first; into DIRECTORY if a word stands\n"
                    "between this and the job")
        ->type_name("DIRECTORY")
        ->expected(0, 1);
  if (verb.name == "stop") {
    app->add_flag("-d,--drain", words.drain, "End the input first, so that everything is emitted");
    app->add_option("-p,--savepointPath", words.target, "Where to write the savepoint")
        ->type_name("DIRECTORY");
  }
  add_common(*app, words);
  return app;
}

/// Spells CLI11's complaint as ours.
std::string sentence_of(const CLI::ParseError& failure) {
  const std::string what = failure.what();
  if (what.find("At Most") == std::string::npos) return what;
  return what.substr(0, what.find(':')) + " is given more than once";
}

/// The names of all options of `app`, with dashes.
std::vector<std::string> option_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    for (const std::string& name : option->get_snames()) names.push_back("-" + name);
  }
  return names;
}

std::string nearest_of(std::string_view word, const std::vector<std::string>& candidates,
                       std::string_view otherwise) {
  const std::vector<std::string_view> views(candidates.begin(), candidates.end());
  return did_you_mean(word, views, otherwise);
}

/// `hint` says whose option it may be if it is none of ours; then only a slip of ours is guessed.
std::string unknown_option(const CLI::App& app, const std::string& word, const std::string& hint) {
  const std::string name = word.substr(0, word.find('='));
  const std::string what = "unknown option '" + name + "'";
  if (hint.empty()) return what + nearest_of(name, option_names(app), options_shown);
  const auto names = option_names(app);
  const bool slip = name.starts_with("--") && std::ranges::any_of(names, [&](const auto& known) {
                      return known.starts_with("--") && is_slip(name, known);
                    });
  return slip ? what + nearest_of(name, names, options_shown) + " (" + hint + ")"
              : what + "; " + hint;
}

bool looks_like_option(const std::string& word) { return word.size() > 1 && word[0] == '-'; }

/// Whether `word`, which looks like an option, is a negative number behind an `option` that takes a number. It is
/// then read as its value, so that what is wrong with that is told.
bool is_number_for(const CLI::Option& option, const std::string& word) {
  return option.get_type_name() == number_type &&
         std::isdigit(static_cast<unsigned char>(word[1])) != 0;
}

/// An option as one word or the beginning of two: `--name`, `--name=value`, `-n`, `-nvalue`, and flags in
/// one word, `-nd`.
struct OptionWord {
  const CLI::Option* option = nullptr;     ///< the last one in the word; null: none of that name
  std::optional<std::string_view> behind;  ///< what stands behind its name
  bool behind_equals = false;
};

OptionWord read_option(const CLI::App& app, std::string_view word) {
  OptionWord read;
  if (word.starts_with("--")) {
    const auto equals = word.find('=');
    read.option = app.get_option_no_throw(std::string(word.substr(0, equals)));
    read.behind_equals = equals != std::string_view::npos;
    if (read.behind_equals) read.behind = word.substr(equals + 1);
    return read;
  }
  for (std::size_t i = 1; i < word.size(); ++i) {
    read.option = app.get_option_no_throw(std::string{'-', word[i]});
    if (read.option == nullptr) return read;
    const bool takes = takes_value(*read.option);
    read.behind_equals = word.substr(i + 1, 1) == "=";
    if (!takes && !read.behind_equals) continue;
    if (i + 1 < word.size()) read.behind = word.substr(i + 1);
    break;
  }
  return read;
}

/// What CLI11 would read in another way than it is meant: in `-d --json` it takes an option for a path, in
/// `--name= word` the next word for the name.
/// `hint` says where words stand that are no options of `app`.
Status check_words(const CLI::App& app, std::span<const std::string> words,
                   const std::string& hint) {
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (!looks_like_option(word)) {
      if (app.get_prefix_command()) return {};  // the rest is the job's
      if (word.empty()) return refuse("one of the words is empty; write it or leave it out");
      continue;
    }
    if (word == "--") return refuse("unexpected word '--'");
    const auto [option, behind, behind_equals] = read_option(app, word);
    if (option == nullptr) return refuse(unknown_option(app, word, hint));
    const std::string name = option->get_name();
    if (name == "--help") return {};
    if (!takes_value(*option)) {
      if (behind) return refuse(name + " takes no value, and '" + word + "' gives it one");
      continue;
    }
    const std::string needs = name + " needs a value: " + option->get_type_name();
    if (behind_equals && !word.starts_with("--"))
      return refuse("in '" + word + "' the value begins with '='; write '-" +
                    option->get_snames()[0] + " " + std::string(behind->substr(1)) + "'");
    if (behind && behind->empty()) return refuse(needs);
    if (behind) continue;
    const bool optional = option->get_expected_min() == 0;
    if (i + 1 == words.size() ||
        (looks_like_option(words[i + 1]) && !is_number_for(*option, words[i + 1]))) {
      if (optional) continue;
      return refuse(i + 1 == words.size()
                        ? needs
                        : needs + "; behind it stands '" + words[i + 1] + "', an option");
    }
    if (words[i + 1].empty()) return refuse(needs + "; the word behind it is empty");
    ++i;
  }
  return {};
}

/// Whether a directory that `word` names may exist on this machine.
Status check_directory(const std::string& word) {
  const auto path = parse_path(word, "/");
  if (!path) return refuse(path.error().what);
  return {};
}

/// Lets CLI11 read `words` into what `app` is bound to and returns the words that are no options.
/// A text: the help that was asked for. `hint` is added to what is said of an unknown option.
Result<std::variant<std::vector<std::string>, std::string>> read_words(
    CLI::App& app, std::span<const std::string> words, const std::string& hint) {
  WEIR_TRY(check_words(app, words, hint));
  std::vector<std::string> reversed(words.rbegin(), words.rend());
  try {
    app.parse(std::move(reversed));
  } catch (const CLI::CallForHelp&) {
    return app.help();
  } catch (const CLI::ParseError& failure) {
    return refuse(sentence_of(failure));
  }
  return app.remaining();
}

/// Verbs that talk to a job read these keys alone.
bool is_client_key(std::string_view key) {
  const auto canonical = canonical_key(key);
  return canonical && canonical->starts_with("client.");
}

/// `of_job`: every setting is of use.
Result<CommonOptions> common_of(const Words& words, bool of_job) {
  CommonOptions common;
  if (!words.configuration_file.empty()) common.configuration_file = words.configuration_file;
  common.json = words.json;
  for (const std::string& setting : words.settings) {
    const auto equals = setting.find('=');
    if (equals == std::string::npos || equals == 0)
      return refuse("-D takes KEY=VALUE, and '" + setting + "' has no '='");
    const std::string key = setting.substr(0, equals);
    WEIR_TRY(common.settings.set(key, setting.substr(equals + 1), "-D"));
    if (!of_job && !is_client_key(key))
      return refuse("-D " + key +
                    " is a setting of the job, which has no effect here; give it to "
                    "`weir run`");
  }
  if (!words.parallelism.empty())
    WEIR_TRY(common.settings.set("parallelism.default", words.parallelism, "-p"));
  if (!words.name.empty()) WEIR_TRY(common.settings.set("pipeline.name", words.name, "--name"));
  return common;
}

/// The index of `word` among `choices`, whose case does not matter.
Result<std::size_t> choose(const std::string& option, const std::string& word,
                           std::span<const std::string_view> choices) {
  const auto same = [&](std::string_view choice) {
    return std::ranges::equal(choice, word, [](unsigned char a, unsigned char b) {
      return std::tolower(a) == std::tolower(b);
    });
  };
  const auto found = std::ranges::find_if(choices, same);
  if (found != choices.end()) return static_cast<std::size_t>(found - choices.begin());
  std::string all;
  for (const auto choice : choices) all += (all.empty() ? "" : " or ") + std::string(choice);
  return refuse(option + " takes " + all + ", and '" + word + "' is neither" +
                did_you_mean(word, choices));
}

Result<SnapshotForm> form_of(const Words& words) {
  if (words.type.empty()) return SnapshotForm::canonical;
  WEIR_TRY_ASSIGN(type, choose("--type", words.type, savepoint_types));
  return type == 0 ? SnapshotForm::canonical : SnapshotForm::native;
}

Result<RunCommand> run_command_of(const Words& words) {
  RunCommand command;
  WEIR_TRY_ASSIGN(common, common_of(words, true));
  command.common = std::move(common);
  if (!words.restore.empty()) command.restore = words.restore;
  if (command.restore && *command.restore != "latest") WEIR_TRY(check_directory(*command.restore));
  if (!words.claim_mode.empty()) {
    WEIR_TRY_ASSIGN(mode, choose("--claimMode", words.claim_mode, claim_modes));
    command.claim = mode == 1;
    if (!command.restore)
      return refuse("--claimMode says whose the snapshot behind -s becomes, and there is no -s");
    if (*command.restore == "latest" && !command.claim)
      return refuse(
          "-s latest goes on with the job's own checkpoints, which --claimMode NO_CLAIM "
          "contradicts; name a snapshot with -s PATH");
  }
  command.allow_non_restored_state = words.allow_non_restored_state;
  command.detached = words.detached;
  command.verbose = words.verbose;
  if (!words.trace_file.empty()) command.trace_file = words.trace_file;
  return command;
}

/// The job and at most one word behind it.
Status take_job(const Verb& verb, std::vector<std::string>& positional, std::size_t most,
                std::string& job) {
  if (positional.empty()) return refuse("which job? Name it by its id; `weir list` shows the ids");
  if (positional.size() > most)
    return refuse("unexpected word '" + positional[most] + "'; usage: weir " +
                  std::string(verb.name) + " " + std::string(verb.usage));
  job = positional.front();
  if (job.size() > id_digits || job.find_first_not_of("0123456789abcdef") != std::string::npos)
    return refuse("'" + job + "' is no job id, which has " + std::to_string(id_digits) +
                  " lowercase hex digits; `weir list` shows the ids");
  if (job.size() < shortest_id)
    return refuse("'" + job + "' is too short for a job id; give all " + std::to_string(id_digits) +
                  " digits, or at least the first " + std::to_string(shortest_id));
  return {};
}

Result<Command> savepoint_command(const Verb& verb, Words& words, CommonOptions common) {
  if (!words.dispose.empty()) {
    if (!words.positional.empty())
      return refuse("unexpected word '" + words.positional[0] + "'; -d takes one path and no job");
    if (!words.type.empty()) return refuse("-d deletes a savepoint; --type is for writing one");
    WEIR_TRY(check_directory(words.dispose));
    return DisposeCommand{std::move(common), words.dispose};
  }
  WEIR_TRY_ASSIGN(form, form_of(words));
  SavepointCommand command{std::move(common), {}, {}, form};
  WEIR_TRY(take_job(verb, words.positional, 2, command.job));
  if (words.positional.size() < 2) return command;
  command.target = words.positional[1];
  WEIR_TRY(check_directory(command.target));
  return command;
}

Result<Command> cancel_command(const Verb& verb, Words& words, bool with_savepoint,
                               CommonOptions common) {
  WEIR_TRY_ASSIGN(form, form_of(words));
  CancelCommand command{std::move(common), {}, with_savepoint, words.target, form};
  if (!words.type.empty() && !with_savepoint)
    return refuse("--type is how a savepoint is written, and there is no -s");
  // One word behind -s is the job.
  if (words.positional.empty() && !command.target.empty())
    words.positional.push_back(std::exchange(command.target, {}));
  WEIR_TRY(take_job(verb, words.positional, 1, command.job));
  if (!command.target.empty()) WEIR_TRY(check_directory(command.target));
  return command;
}

Result<Command> compile_command(Words& words, std::span<const std::string> flags) {
  if (words.positional.empty())
    return refuse("which source? usage: weir compile JOB.cpp -o JOB.so");
  return CompileCommand{
      std::move(words.positional), words.output, {flags.begin(), flags.end()}, words.verbose};
}

Result<Command> completion_command(const Words& words) {
  if (words.positional.empty()) return refuse("which shell: bash, zsh or fish?");
  if (words.positional.size() > 1)
    return refuse("unexpected word '" + words.positional[1] + "'; name one shell");
  const std::string& shell = words.positional[0];
  if (std::ranges::find(shells, shell) == shells.end())
    return refuse("there is no completion for '" + shell + "', only for bash, zsh and fish");
  return CompletionCommand{shell};
}

Result<Command> scenario_command(const CLI::App& app, Words& words) {
  constexpr std::array<std::string_view, 2> actions{"run", "new"};
  if (words.positional.empty())
    return refuse(
        "run a scenario, or write a new one? usage: weir scenario run FILE.yaml, or weir "
        "scenario new FILE.yaml");
  const std::string action = words.positional[0];
  words.positional.erase(words.positional.begin());
  if (action == "new") {
    for (const CLI::Option* option : app.get_options())
      if (option->count() > 0)
        return refuse(option->get_name() + " is an option of `weir scenario run`");
    if (words.positional.size() > 1)
      return refuse("unexpected word '" + words.positional[1] + "'; name one file");
    return ScenarioNewCommand{words.positional.empty() ? "" : words.positional[0]};
  }
  if (action != "run")
    return refuse("'" + action + "' is neither run nor new" + did_you_mean(action, actions));
  if (words.positional.empty())
    return refuse("which scenario? usage: weir scenario run FILE.yaml...");
  ScenarioRunCommand command;
  if (words.simulate && words.real)
    return refuse("--simulate and --real contradict each other; leave one out");
  command.simulate = words.simulate;
  if (!words.seed.empty()) {
    if (!words.simulate)
      return refuse("--seed is what a simulation draws from, and there is no --simulate");
    std::uint64_t seed = 0;
    const char* end = words.seed.data() + words.seed.size();
    const auto [read_to, failure] = std::from_chars(words.seed.data(), end, seed);
    if (failure != std::errc() || read_to != end)
      return refuse("--seed takes a whole number from 0, and '" + words.seed + "' is none");
    command.seed = seed;
  }
  if (!words.diagram.empty() && words.positional.size() > 1)
    return refuse("--diagram draws one scenario, and there are " +
                  std::to_string(words.positional.size()));
  if (!words.junit.empty()) command.junit = words.junit;
  if (!words.diagram.empty()) command.diagram = words.diagram;
  if (!words.keep.empty()) command.keep = words.keep;
  command.job_directories = words.job_directories;
  command.files = std::move(words.positional);
  return command;
}

/// Reads the words behind `verb`.
Result<Command> parse_verb(const Verb& verb, std::span<const std::string> rest) {
  std::span<const std::string> flags;
  if (verb.name == "compile") {  // what is behind -- belongs to the compiler
    const auto dashes = std::ranges::find(rest, "--");
    if (dashes != rest.end())
      flags = rest.subspan(static_cast<std::size_t>(dashes - rest.begin()) + 1);
    rest = rest.first(static_cast<std::size_t>(dashes - rest.begin()));
  }
  Words words;
  const auto app =
      make_parser(verb, "weir " + std::string(verb.name) + " " + std::string(verb.usage), words);
  WEIR_TRY_ASSIGN(
      read,
      read_words(*app, rest, verb.name == "compile" ? "the compiler's own stand behind --" : ""));
  if (const auto* help = std::get_if<std::string>(&read)) return PrintCommand{*help};
  words.positional = std::get<std::vector<std::string>>(std::move(read));

  if (verb.name == "run") {
    if (words.positional.empty() || words.positional[0].empty())
      return refuse("which job? usage: weir run [OPTIONS] JOB.so [JOB ARGUMENTS]");
    WEIR_TRY_ASSIGN(command, run_command_of(words));
    command.library = words.positional[0];
    command.arguments.assign(words.positional.begin() + 1, words.positional.end());
    return command;
  }
  if (verb.name == "compile") return compile_command(words, flags);
  if (verb.name == "completion") return completion_command(words);
  if (verb.name == "scenario") return scenario_command(*app, words);

  WEIR_TRY_ASSIGN(common, common_of(words, false));
  if (verb.name == "list") {
    if (!words.positional.empty()) return refuse("unexpected word '" + words.positional[0] + "'");
    return ListCommand{std::move(common)};
  }
  if (verb.name == "savepoint") return savepoint_command(verb, words, std::move(common));
  if (verb.name == "cancel")
    return cancel_command(verb, words, app->count("--withSavepoint") > 0, std::move(common));
  std::string job;
  WEIR_TRY(take_job(verb, words.positional, 1, job));
  if (verb.name == "info") return InfoCommand{std::move(common), job};
  if (verb.name == "checkpoint") return CheckpointCommand{std::move(common), job};
  WEIR_ASSERT(verb.name == "stop");
  if (!words.target.empty()) WEIR_TRY(check_directory(words.target));
  WEIR_TRY_ASSIGN(form, form_of(words));
  return StopCommand{std::move(common), job, words.drain, words.target, form};
}

std::string general_help() {
  std::string text =
      "Weir runs stateful jobs over streams, with checkpoints and savepoints.\n\n"
      "Usage: weir VERB [OPTIONS] ...\n\n";
  for (const Verb& verb : verbs) {
    std::string line = "  " + std::string(verb.name);
    line.resize(14, ' ');
    text += line + std::string(verb.summary) + "\n";
  }
  text +=
      "\n`weir VERB --help` shows the options of a verb, `weir --version` the version.\n"
      "JOB is the id that `weir list` shows, or how it begins: 6 digits or more, if no other\n"
      "running job's id begins like this.\n"
      "Exit codes: 0 finished or done; 1 a job failed, or something outside is missing or broken;\n"
      "2 a word on the command line or a setting is wrong; 130 ended by Ctrl-C or SIGTERM.\n";
  return text;
}

std::vector<std::string> verb_names() {
  std::vector<std::string> names;
  for (const Verb& verb : verbs) names.emplace_back(verb.name);
  names.insert(names.end(), {"help", "--help", "--version"});
  return names;
}

}  // namespace

Result<Command> parse_command_line(std::span<const std::string> words) {
  if (words.empty() || words[0].empty())
    return refuse("no verb is given; `weir --help` lists them");
  std::string first = words[0];
  words = words.subspan(1);
  static const std::vector<std::string> help_option{"--help"};
  if (first == "help" || first == "-h" || first == "--help") {
    if (words.size() > 1) return refuse("unexpected word '" + words[1] + "'; name one verb");
    if (words.empty()) return PrintCommand{general_help()};
    first = words[0];
    words = help_option;
  }
  if (first == "--version") {
    if (!words.empty()) return refuse("unexpected word '" + words[0] + "' behind --version");
    return PrintCommand{version_text() + "\n"};
  }
  const auto verb = std::ranges::find(verbs, first, &Verb::name);
  if (verb != verbs.end()) {
    auto command = parse_verb(*verb, words);
    if (!command) {
      std::string& what = command.error().what;
      what.insert(0, first + (what.starts_with('-') ? " " : ": "));
    }
    return command;
  }
  if (looks_like_option(first))
    return refuse("unknown option '" + first + "'" +
                  nearest_of(first, {"--help", "--version"}, "`weir --help` lists the verbs") +
                  " (options of a verb stand behind it)");
  return refuse("unknown verb '" + first + "'" +
                nearest_of(first, verb_names(), "`weir --help` lists the verbs"));
}

Result<Command> parse_program_line(const std::string& program, std::span<const std::string> words) {
  const auto dashes = std::ranges::find(words, "--");
  const auto count = static_cast<std::size_t>(dashes - words.begin());
  const auto options = words.first(count);
  if (count > 0 && options[0] == "--version") return PrintCommand{version_text() + "\n"};
  Words read_into;
  const auto app = make_parser(verbs[0], program + " [OPTIONS] [-- JOB ARGUMENTS]", read_into);
  const std::string hint =
      "the job's own arguments stand behind --, as in `" + program + " -- ARGUMENTS`";
  WEIR_TRY_ASSIGN(read, read_words(*app, options, hint));
  if (const auto* help = std::get_if<std::string>(&read)) return PrintCommand{*help};
  const auto& unread = std::get<std::vector<std::string>>(read);
  if (!unread.empty()) return refuse("unexpected word '" + unread[0] + "'; " + hint);
  WEIR_TRY_ASSIGN(command, run_command_of(read_into));
  if (dashes != words.end()) command.arguments.assign(dashes + 1, words.end());
  return command;
}

std::vector<VerbDescription> describe_verbs() {
  std::vector<VerbDescription> described;
  for (const Verb& verb : verbs) {
    VerbDescription description{
        std::string(verb.name), std::string(verb.summary), verb.names_job, verb.names_file, {}};
    Words unused;
    const auto app = make_parser(verb, {}, unused);
    for (const CLI::Option* option : app->get_options()) {
      OptionName name;
      if (!option->get_snames().empty()) name.short_name = option->get_snames()[0];
      if (!option->get_lnames().empty()) name.long_name = option->get_lnames()[0];
      name.description = option->get_description();
      std::ranges::replace(name.description, '\n', ' ');
      name.takes_value = takes_value(*option);
      description.options.push_back(std::move(name));
    }
    described.push_back(std::move(description));
  }
  return described;
}

std::string version_text() { return "weir " WEIR_VERSION; }

}  // namespace weir
