#include "cli/simulate.hpp"

#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <fstream>
#include <optional>
#include <thread>
#include <unistd.h>
#include <utility>

#include <nlohmann/json.hpp>

#include "cli/backends.hpp"
#include "cli/job_library.hpp"
#include "cli/job_output.hpp"
#include "cli/process_files.hpp"
#include "cli/signals.hpp"
#include "cli/surroundings.hpp"
#include "connectors/held_files.hpp"
#include "runtime/crash_reporter.hpp"
#include "simulation/crash_matrix.hpp"
#include "simulation/job_trials.hpp"
#include "simulation/kill_points.hpp"
#include "simulation/run_text.hpp"
#include "storage/posix_file_system.hpp"
#include "storage/system.hpp"

namespace weir {
namespace {

/// Every kill point, so that a report shows also those that were never met.
std::map<std::string, std::uint64_t> no_kills() {
  std::map<std::string, std::uint64_t> none;
  for (const std::string& place : kill_points()) none[place] = 0;
  return none;
}

using Json = nlohmann::ordered_json;

constexpr std::uint64_t most_plan_bytes = 1 << 20;
/// Failures of a range that are told with what was broken; of the others, the seed.
constexpr std::size_t told_failures = 5;
/// How often a terminal is told how far it is.
constexpr std::chrono::milliseconds progress_interval{200};

std::string absolute(const std::string& path) {
  return path.starts_with('/') ? path : current_directory() + "/" + path;
}

std::string hash_text(std::uint64_t hash) {
  char text[17];
  std::snprintf(text, sizeof text, "%016" PRIx64, hash);
  return text;
}

std::string upper(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text;
}

/// The word as a shell takes it.
std::string quoted(const std::string& word) {
  const bool plain = !word.empty() && std::ranges::all_of(word, [](unsigned char c) {
    return std::isalnum(c) != 0 ||
           std::string_view("-_./=:,+@%").find(static_cast<char>(c)) != std::string_view::npos;
  });
  if (plain) return word;
  std::string text = "'";
  for (const char c : word) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return text + "'";
}

Json json_of(const std::map<std::string, std::uint64_t>& counts) {
  Json json = Json::object();
  for (const auto& [name, count] : counts) json[name] = count;
  return json;
}

/// A run and what is to be said of it.
class Simulation {
 public:
  explicit Simulation(const SimulateCommand& command) : command_(command) {}

  /// Removes what nobody needs any more.
  void clean_up() const {
    if (temporary_) temporary_->remove();
  }
  /// The exit code.
  int run() {
    if (Status ready = prepare(); !ready)
      return answer_with(ready.error(), exit_code_, command_.common);
    if (Status expected = find_expected(); !expected) return end_with(expected.error());
    if (command_.crash_matrix) return run_matrix();
    const Status ran = trials_->run(
        command_.first_seed, command_.last_seed,
        [this](std::uint64_t seed) { return Trial{seed, plan_, command_.records, command_.only}; },
        *expected_, [this](std::uint64_t, SimulatedRunReport report) { take(std::move(report)); });
    clear_progress();
    if (!ran) return answer_with(ran.error(), failure_exit_code, command_.common);
    if (end_requested()) return interrupted_exit_code;
    if (command_.shrink && !one_.violations.empty())
      if (const Status shrunk = shrink(); !shrunk)
        return answer_with(shrunk.error(), failure_exit_code, command_.common);
    return conclude();
  }

 private:
  // ---- before

  Status prepare() {
    auto file_settings = load_settings_file(files_, command_.common);
    if (!file_settings) return fail(file_settings.error(), usage_exit_code);
    plan_ = command_.check_determinism ? FaultPlan::nothing() : FaultPlan::everything();
    if (command_.faults) {
      const std::string path = absolute(*command_.faults);
      auto text = read_file(files_, path, most_plan_bytes);
      if (!text) return fail(text.error(), failure_exit_code);
      auto plan = parse_fault_plan(*text, *command_.faults);
      if (!plan) return fail(plan.error(), usage_exit_code);
      plan_ = *plan;
    }
    if (command_.keep && files_.stat(absolute(*command_.keep)))
      return fail({Errc::already_exists, *command_.keep + ": is there already; name a directory "
                                                          "that --keep can make"},
                  failure_exit_code);
    auto temporary = TemporaryDirectory::make(files_, temporary_base(*file_settings), random_);
    if (!temporary) return fail(temporary.error(), failure_exit_code);
    temporary_.emplace(std::move(*temporary));
    auto directory = temporary_->make_inner("jobs");
    if (!directory) return fail(directory.error(), failure_exit_code);
    libraries_ =
        std::make_unique<LocalJobLibraries>(files_, std::move(*directory), current_directory());
    auto code = libraries_->load(absolute(command_.library));
    if (!code) return fail(code.error(), failure_exit_code);
    Configuration first = *file_settings;
    first.merge(command_.common.settings);
    auto run = libraries_->run(*code, command_.arguments, first);
    if (!run)
      return fail(run.error().error,
                  run.error().in_arguments ? usage_exit_code : failure_exit_code);

    auto backends = simulated_backends(command_.common.settings, command_.check_determinism);
    if (!backends) return fail(backends.error(), usage_exit_code);
    if (const Status readable = check_inputs(*run->plan, files_); !readable)
      return fail(readable.error(), failure_exit_code);
    JobTrials::Settings trials;
    trials.called = command_.library;
    trials.task_managers = command_.task_managers;
    trials.check_determinism = command_.check_determinism;
    trials.limit_generators = [this](std::uint64_t records) {
      libraries_->limit_generators(records);
    };
    if (!command_.shrink)
      trials.adjust = [this](SimulatedRunSettings& settings) { show_more(settings); };
    trials.children = children();
    SimulatedJob& job = trials.job;
    job.name = code->name;
    job.library_sha256 = code->sha256;
    job.arguments = command_.arguments;
    job.libraries = libraries_.get();
    job.settings = file_settings->as_map();
    for (const auto& [key, value] : run->settings) job.settings[key] = value;
    job.fixed = command_.common.settings.as_map();
    job.backends = std::move(*backends);
    job.make_backend =
        [](const Configuration& configuration,
           const SimulatedDatabases& databases) -> Result<std::shared_ptr<StateBackend>> {
      return make_backend(configuration.state_backend(), &databases);
    };
    job.held_output = files_held_by;
    job.inputs = &files_;
    backends_ = job.backends;
    trials_.emplace(std::move(trials));
    return {};
  }
  std::unexpected<Error> fail(Error error, int exit_code) {
    exit_code_ = exit_code;
    return std::unexpected(std::move(error));
  }

  [[nodiscard]] ChildRuns children() const {
    ChildRuns runs;
    runs.at_a_time = command_.at_a_time > 0 ? command_.at_a_time
                                            : std::max(1U, std::thread::hardware_concurrency());
    runs.ended = end_requested;
    return runs;
  }

  /// What the job makes of its input when nothing fails.
  Status find_expected() {
    WEIR_TRY_ASSIGN(result, trials_->expected_of(command_.records));
    expected_ = std::move(result);
    return {};
  }
  /// In a child: the files that were asked for.
  void show_more(SimulatedRunSettings& settings) const {
    settings.keep_files = command_.keep.has_value();
    if (!command_.trace_file) return;
    const auto trace =
        std::make_shared<std::ofstream>(absolute(*command_.trace_file), std::ios::trunc);
    settings.trace = [trace](const std::string& line) { *trace << line << '\n'; };
  }

  /// Every fault at every message of every flow, on every backend.
  int run_matrix() {
    std::vector<MatrixCell> cells;
    for (const std::string& backend : backends_)
      for (std::size_t i = 0; i < flow_count; ++i) {
        const auto flow = static_cast<Flow>(i);
        auto seen =
            trials_->run_once(matrix_trial(StagedFault{.flow = flow}, backend), &*expected_);
        if (!seen) return end_with(seen.error());
        if (!seen->violations.empty())
          return end_with({Errc::user_function_failed,
                           "a run without any fault goes wrong: " + seen->violations.front().what});
        const auto planned = plan_cells(backend, flow, seen->flow);
        cells.insert(cells.end(), planned.begin(), planned.end());
      }
    if (cells.empty())
      return end_with({Errc::user_function_failed,
                       "the job ends before a checkpoint completes: give it more input"});
    const Status ran = trials_->run(
        0, cells.size() - 1,
        [&](std::uint64_t number) {
          return matrix_trial(cells[number].staged, cells[number].backend);
        },
        *expected_,
        [&](std::uint64_t number, SimulatedRunReport report) {
          ++seeds_;
          MatrixCell& cell = cells[number];
          cell.has_hit = report.staged_has_hit;
          cell.outcome = std::move(report.flow_outcome);
          cell.violations = std::move(report.violations);
          show_progress(cells.size(), "runs");
        });
    clear_progress();
    if (!ran) return end_with(ran.error());
    if (end_requested()) return interrupted_exit_code;
    return tell_matrix(cells);
  }
  [[nodiscard]] Trial matrix_trial(const StagedFault& staged, const std::string& backend) const {
    return {command_.first_seed, FaultPlan::nothing(), command_.records, {}, staged, backend};
  }
  /// The exit code of a run that could not go on.
  [[nodiscard]] int end_with(const Error& failed) const {
    return end_requested() ? interrupted_exit_code
                           : answer_with(failed, failure_exit_code, command_.common);
  }
  int tell_matrix(const std::vector<MatrixCell>& cells) {
    if (command_.common.json) {
      Json list = Json::array();
      for (const MatrixCell& cell : cells)
        list.push_back({{"flow", enumerator_name(cell.staged.flow)},
                        {"backend", cell.backend},
                        {"message", cell.step.message},
                        {"from", enumerator_name(cell.staged.from)},
                        {"to", enumerator_name(cell.staged.to)},
                        {"occurrence", cell.staged.occurrence},
                        {"fault", enumerator_name(cell.staged.fault)},
                        {"hit", cell.has_hit},
                        {"outcome", cell.outcome},
                        {"violations", json_of(cell.violations)}});
      std::printf("%s\n", Json{{"crash_matrix", list}}.dump().c_str());
    } else {
      std::fputs(matrix_text(cells).c_str(), stdout);
    }
    if (command_.report) {
      std::ofstream file(absolute(*command_.report), std::ios::trunc);
      file << (command_.report->ends_with(".md") ? matrix_markdown(cells) : matrix_html(cells));
      file.close();
      if (!file)
        return report({Errc::io_error, *command_.report + ": cannot be written"},
                      failure_exit_code);
    }
    const bool held =
        std::ranges::all_of(cells, [](const MatrixCell& cell) { return cell.violations.empty(); });
    return held ? success_exit_code : failure_exit_code;
  }
  static Json json_of(const std::vector<Violation>& violations) {
    Json json = Json::array();
    for (const Violation& one : violations)
      json.push_back({{"promise", one.promise}, {"what", one.what}, {"step", one.step}});
    return json;
  }

  /// Leaves out disturbances, then input, as long as the seed still fails, and takes the least that does for what is
  /// told. Source: Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input", 2002, in its simplest form.
  Status shrink() {
    Trial least{command_.first_seed, plan_, command_.records, std::vector<std::uint64_t>()};
    for (std::uint64_t i = 0; i < one_.disturbances; ++i) least.only->push_back(i);
    const std::string promise = one_.violations.front().promise;
    const auto still_fails = [&](const Trial& trial,
                                 const SimulatedResult& expected) -> Result<bool> {
      auto report = trials_->run_once(trial, &expected);
      if (!report && report.error().code == Errc::cancelled) return std::unexpected(report.error());
      if (!report || report->violations.empty() || report->violations.front().promise != promise)
        return false;
      one_ = std::move(*report);
      return true;
    };
    for (std::size_t chunk = std::max<std::size_t>(least.only->size(), 1); chunk > 0; chunk /= 2)
      for (std::size_t begin = 0; begin < least.only->size();) {
        Trial trial = least;
        const auto first = trial.only->begin() + static_cast<std::ptrdiff_t>(begin);
        const auto last =
            first + static_cast<std::ptrdiff_t>(std::min(chunk, trial.only->size() - begin));
        trial.only->erase(first, last);
        WEIR_TRY_ASSIGN(fails, still_fails(trial, *expected_));
        if (fails)
          least = std::move(trial);
        else
          begin += chunk;
      }
    // With less input everything happens at other steps, so that it is luck whether the failure stays.
    for (std::uint64_t records = least.records.value_or(1 << 20); records > 1;) {
      records /= 2;
      Trial trial = least;
      trial.records = records;
      auto expected = trials_->expected_of(records);
      if (!expected) break;
      WEIR_TRY_ASSIGN(fails, still_fails(trial, *expected));
      if (fails) least = std::move(trial);
    }
    least_ = std::move(least);
    return {};
  }
  // ---- while seeds run

  void take(SimulatedRunReport report) {
    ++seeds_;
    for (const auto& [fault, hits] : report.faults) faults_[fault] += hits;
    for (const auto& [place, hits] : report.kill_points) kill_points_[place] += hits;
    for (const auto& [what, times] : report.counts) counts_[what] += times;
    if (!report.violations.empty()) failed_.push_back(report.seed);
    if (!command_.is_range) {
      one_ = std::move(report);
      return;
    }
    if (!report.violations.empty()) {
      clear_progress();
      if (!command_.common.json && failed_.size() <= told_failures) tell_failure(report);
    }
    show_progress(command_.last_seed - command_.first_seed + 1, "seeds");
  }
  void show_progress(std::uint64_t all, const char* noun) {
    if (command_.common.json || ::isatty(STDERR_FILENO) == 0) return;
    const auto now = std::chrono::steady_clock::now();
    if (now - shown_at_ < progress_interval) return;
    shown_at_ = now;
    std::fprintf(stderr, "\r\033[K%" PRIu64 " of %" PRIu64 " %s", seeds_, all, noun);
    if (!failed_.empty()) std::fprintf(stderr, ", %zu failed", failed_.size());
    shown_ = true;
  }
  void clear_progress() {
    if (std::exchange(shown_, false)) std::fputs("\r\033[K", stderr);
  }

  // ---- what is said

  void tell_failure(const SimulatedRunReport& report) const {
    // What led to one failure is enough to begin with; and nothing that failed leads to a difference without faults.
    if (!command_.check_determinism && failed_.size() <= 1)
      print(story_text(report) + faults_text(report.faults) + last_lines_text(report));
    print(violations_text(report));
    std::printf("  replay: %s\n", replay_command(report.seed).c_str());
  }
  static void print(const std::string& text) { std::fputs(text.c_str(), stdout); }
  /// The command that runs `seed` alone, as this one was given.
  [[nodiscard]] std::string replay_command(std::uint64_t seed) const {
    std::string text = "weir simulate --seed " + std::to_string(seed);
    if (command_.check_determinism) text += " --check-determinism";
    if (command_.faults) text += " --faults " + quoted(*command_.faults);
    if (command_.task_managers != 2)
      text += " --task-managers " + std::to_string(command_.task_managers);
    if (const auto records = least_ ? least_->records : command_.records)
      text += " --for " + std::to_string(*records);
    if (const auto only = least_ ? least_->only : command_.only) {
      text += " --only ";
      for (const std::uint64_t one : *only)
        text += std::to_string(one) + (one == only->back() ? "" : ",");
      if (only->empty()) text += "none";
    }
    if (command_.common.configuration_file)
      text += " --config " + quoted(*command_.common.configuration_file);
    for (const auto& [key, value] : command_.common.settings.as_map())
      text += " -D " + quoted(key + "=" + value);
    text += " " + quoted(command_.library);
    for (const std::string& argument : command_.arguments) text += " " + quoted(argument);
    return text;
  }
  int conclude() {
    if (command_.is_range)
      tell_of_all();
    else
      tell_of_one();
    int exit_code = failed_.empty() ? success_exit_code : failure_exit_code;
    if (command_.keep)
      if (const Status kept = keep_files(); !kept) exit_code = report_failure(kept.error());
    if (std::fflush(stdout) != 0)
      return report({Errc::io_error, "cannot write to standard output"}, failure_exit_code);
    return exit_code;
  }
  static int report_failure(const Error& failed) { return report(failed, failure_exit_code); }

  void tell_of_one() {
    if (command_.common.json) {
      std::printf("%s\n", Json{{"seed", one_.seed},
                               {"trace_hash", hash_text(one_.trace_hash)},
                               {"state", upper(one_.state)},
                               {"faults", weir::json_of(one_.faults)},
                               {"violations", json_of(one_.violations)}}
                              .dump()
                              .c_str());
      return;
    }
    if (!one_.violations.empty()) return tell_failure(one_);
    print(story_text(one_));
    if (!command_.check_determinism) print(faults_text(one_.faults));
    std::printf("%s; every promise was kept; trace hash %s\n", upper(one_.state).c_str(),
                hash_text(one_.trace_hash).c_str());
  }
  void tell_of_all() {
    std::ranges::sort(failed_);
    if (command_.common.json) {
      std::printf("%s\n", Json{{"seeds", seeds_},
                               {"failed", failed_},
                               {"faults_hit", weir::json_of(faults_)},
                               {"kill_points_hit", weir::json_of(kill_points_)}}
                              .dump()
                              .c_str());
      return;
    }
    if (!command_.check_determinism) print(faults_text(faults_));
    print(std::to_string(seeds_) + " seeds, " + failed_text(failed_) + "\n");
  }

  Status keep_files() {
    const std::string directory = absolute(*command_.keep);
    WEIR_TRY(files_.create_directories(directory));
    for (const auto& [path, content] : one_.files) {
      WEIR_TRY(
          files_.create_directories((directory + path).substr(0, (directory + path).rfind('/'))));
      WEIR_TRY_ASSIGN(file, files_.create(directory + path));
      WEIR_TRY(file->append(content));
      WEIR_TRY(file->close());
    }
    return {};
  }

  const SimulateCommand& command_;
  SystemRandom random_;
  PosixFileSystem files_;
  std::optional<TemporaryDirectory> temporary_;
  std::unique_ptr<LocalJobLibraries> libraries_;
  FaultPlan plan_;
  std::vector<std::string> backends_;  ///< that a seed draws from
  std::optional<JobTrials> trials_;
  std::optional<SimulatedResult> expected_;
  int exit_code_ = failure_exit_code;

  std::uint64_t seeds_ = 0;
  std::vector<std::uint64_t> failed_;
  std::map<std::string, std::uint64_t> faults_;
  std::map<std::string, std::uint64_t> kill_points_ = no_kills();
  std::map<std::string, std::uint64_t> counts_;
  SimulatedRunReport one_;
  std::optional<Trial> least_;  ///< that still fails, after `shrink`
  std::chrono::steady_clock::time_point shown_at_;
  bool shown_ = false;
};

}  // namespace

int simulate_job(const SimulateCommand& command) {
  catch_end_signals();
  install_crash_reporter();
  set_crash_notice({command.library, ""});
  Simulation simulation(command);
  const int exit_code = simulation.run();
  simulation.clean_up();
  return exit_code;
}

}  // namespace weir
