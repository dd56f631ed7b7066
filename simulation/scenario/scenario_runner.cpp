#include "simulation/scenario/scenario_runner.hpp"

#include <algorithm>
#include <fnmatch.h>
#include <set>
#include <utility>

#include <nlohmann/json.hpp>

namespace weir {
namespace {

using std::chrono::milliseconds;
using Json = nlohmann::json;

/// How much of the world's time passes between two looks, at most.
constexpr milliseconds longest_move = std::chrono::seconds(1);
/// How many characters of a value are shown.
constexpr std::size_t longest_value = 200;

template <class... Fs>
struct Overloaded : Fs... {
  using Fs::operator()...;
};

std::string shortened(std::string text) {
  if (text.size() > longest_value) text = text.substr(0, longest_value) + "...";
  return text;
}

std::string counted(std::uint64_t count, const std::string& noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

std::string duration_text(milliseconds time) {
  if (time.count() % 60'000 == 0 && time.count() > 0)
    return std::to_string(time.count() / 60'000) + " min";
  if (time.count() % 1000 == 0) return std::to_string(time.count() / 1000) + " s";
  return std::to_string(time.count()) + " ms";
}

bool is_actor(const std::string& pattern, const std::string& actor) {
  return pattern.empty() || pattern == actor || actor.starts_with(pattern + ":");
}

/// Of two sorted lists what only the first has.
std::vector<std::string> only_in(const std::vector<std::string>& first,
                                 const std::vector<std::string>& second) {
  std::vector<std::string> result;
  std::ranges::set_difference(first, second, std::back_inserter(result));
  return result;
}

std::string differences(const std::vector<std::string>& missing,
                        const std::vector<std::string>& extra) {
  std::string text;
  const auto add = [&](const std::vector<std::string>& lines, const std::string& noun) {
    if (lines.empty()) return;
    text += (text.empty() ? " of which " : " and ") + std::to_string(lines.size()) + " " + noun +
            ", such as '" + shortened(lines[0]) + "'";
  };
  add(extra, "are too many");
  add(missing, "are missing");
  return text.empty() ? text : "," + text;
}

/// How `found` differs from `expected`, both of the same kind. `part`: what is expected is only some of it.
std::string first_difference(const Json& expected, const Json& found, bool part) {
  if (expected.is_object() && found.is_object()) {
    for (const auto& [key, value] : expected.items()) {
      if (!found.contains(key)) return "no key '" + shortened(key) + "'";
      if (found[key] != value) return "'" + shortened(key) + "': " + shortened(found[key].dump());
    }
    if (!part)
      for (const auto& [key, value] : found.items())
        if (!expected.contains(key))
          return "also '" + shortened(key) + "': " + shortened(value.dump());
    return "";
  }
  if (part && expected.is_array() && found.is_array()) {
    for (const Json& one : expected)
      if (std::ranges::find(found, one) == found.end())
        return "no element " + shortened(one.dump());
    return "";
  }
  return expected == found ? "" : shortened(found.dump());
}

bool is_over(const SeenJob& job) { return job.submitted && (job.gone || is_terminal(job.state)); }

std::string state_of(const SeenJob& job) {
  if (!job.submitted) return "not started";
  const std::string state(enumerator_name(job.state));
  return job.gone ? "gone with its process, " + state + " before" : state;
}

}  // namespace

bool matches(const MessagePattern& pattern, const SeenMessage& message) {
  return pattern.message == message.message && is_actor(pattern.from, message.from) &&
         is_actor(pattern.to, message.to) &&
         (!pattern.checkpoint || *pattern.checkpoint == message.checkpoint);
}

ScenarioRunner::ScenarioRunner(const Scenario& scenario, MakeScenarioWorld make_world)
    : scenario_(scenario), make_world_(std::move(make_world)) {}

ScenarioRunner::~ScenarioRunner() = default;

Result<ScenarioReport> ScenarioRunner::run() {
  report_.path = scenario_.path;
  report_.name = scenario_.name;
  report_.steps_in_all = scenario_.steps.size();
  WEIR_TRY_ASSIGN(world, make_world_(scenario_));
  world_ = std::move(world);
  for (const Step& step : scenario_.steps)
    if (const Status can = world_->check(step); !can)
      return error(can.error().code, to_string(scenario_, step.place) + ": step '" + step.text +
                                         "': " + can.error().what);
  WEIR_TRY(world_->begin());

  bool failed = false;
  for (const Step& step : scenario_.steps) {
    StepReport& report = report_.steps.emplace_back();
    report.place = step.place;
    report.text = step.text;
    report.first_message = world_->messages().size();
    const milliseconds begin = world_->now();
    Status done = do_step(step);
    report_.steps.back().time = world_->now() - begin;
    if (done && step.within && report_.steps.back().time > *step.within)
      done = error(Errc::timed_out, "it took " + duration_text(report_.steps.back().time) +
                                        ", and " + duration_text(*step.within) + " is the most");
    if (done) continue;
    report_.steps.back().failed = failed = true;
    report_.steps.back().what = done.error().what;
    break;
  }
  if (!failed) {
    if (const Status answered = await_answers(nullptr, std::nullopt);
        !answered && !report_.steps.empty()) {
      report_.steps.back().failed = failed = true;
      report_.steps.back().what = answered.error().what;
    }
  }
  report_.time = world_->now();
  // What a run that was cut short leaves behind says nothing.
  if (!failed)
    for (const Expectation& expectation : scenario_.expectations)
      report_.expectations.push_back(look_at(expectation));
  report_.messages = world_->messages();
  report_.vertex_names = world_->vertex_names();
  report_.one_process = world_->is_one_process();
  report_.how_to_repeat = world_->how_to_repeat();
  return std::move(report_);
}

Status ScenarioRunner::await(const std::function<Result<bool>()>& done,
                             std::optional<milliseconds> limit, const std::string& what,
                             bool ends_with_job) {
  const milliseconds begin = world_->now();
  const milliseconds end =
      std::min(scenario_.time_limit, limit ? begin + *limit : scenario_.time_limit);
  const auto in_vain = [&](const std::string& why) -> Status {
    const auto job = world_->job();
    return error(Errc::timed_out,
                 why + " waiting for " + what + "; the job is " +
                     (job ? state_of(*job) + (job->failure.empty() ? "" : ": " + job->failure)
                          : job.error().what));
  };
  for (bool last = false;;) {
    WEIR_TRY_ASSIGN(is_done, done());
    if (is_done) return {};
    if (last)
      return in_vain("nothing can happen any more after " + duration_text(world_->now() - begin) +
                     " of");
    const milliseconds now = world_->now();
    if (now >= end)
      return in_vain(end == scenario_.time_limit
                         ? "the time limit of the scenario, " +
                               duration_text(scenario_.time_limit) + ", was over"
                         : duration_text(now - begin) + " passed");
    if (ends_with_job && pending_.empty()) {
      WEIR_TRY_ASSIGN(job, world_->job());
      // Look once more: it may have come with the job's end.
      last = is_over(job);
      if (last) continue;
    }
    WEIR_TRY_ASSIGN(moved, world_->advance(std::min(end - now, longest_move)));
    last = !moved;
  }
}

Status ScenarioRunner::let_pass(milliseconds time) {
  const milliseconds end = world_->now() + time;
  if (end > scenario_.time_limit)
    return error(Errc::timed_out, "the time limit of the scenario, " +
                                      duration_text(scenario_.time_limit) + ", is over before");
  while (world_->now() < end) {
    WEIR_TRY_ASSIGN(moved, world_->advance(std::min(end - world_->now(), longest_move)));
    if (!moved) break;  // whatever time it is, nothing changes any more
  }
  return {};
}

Status ScenarioRunner::settle(const Pending& pending, const Result<WorldAnswer>& answer) {
  const Asking& asking = pending.asking;
  if (!answer) {
    const std::string& what = answer.error().what;
    if (asking.may_fail) return {};
    if (!asking.fails) return error(answer.error().code, what);
    if (what.find(*asking.fails) != std::string::npos) return {};
    return error(answer.error().code,
                 "it failed as it should, but not with '" + *asking.fails + "': " + what);
  }
  if (!pending.name.empty()) {
    Taken one{answer->directory,
              answer->checkpoint,
              {},
              pending.first_message,
              world_->messages().size()};
    // The request and its answer name the job.
    for (std::size_t i = one.first_message; i < one.end_message && one.job.empty(); ++i)
      if (world_->messages()[i].from == "client") one.job = world_->messages()[i].job;
    taken_[pending.name] = std::move(one);
  }
  if (asking.fails)
    return error(Errc::invalid_argument,
                 "it succeeded, and was to fail with '" + *asking.fails + "'");
  return {};
}

Status ScenarioRunner::ask(const WorldRequest& request, const Asking& asking,
                           const std::string& name, const Step& step) {
  Pending pending{0, asking, name, step.text, world_->messages().size()};
  WEIR_TRY_ASSIGN(id, world_->request(request));
  pending.id = id;
  if (asking.background) {
    pending_.push_back(std::move(pending));
    return {};
  }
  std::optional<Result<WorldAnswer>> answer;
  WEIR_TRY(await(
      [&]() -> Result<bool> {
        answer = world_->answer(id);
        return answer.has_value();
      },
      step.within, "the answer", false));
  return settle(pending, *answer);
}

Status ScenarioRunner::await_answers(const std::string* name, std::optional<milliseconds> limit) {
  for (std::size_t i = 0; i < pending_.size();) {
    if (name != nullptr && pending_[i].name != *name) {
      ++i;
      continue;
    }
    std::optional<Result<WorldAnswer>> answer;
    WEIR_TRY(await(
        [&]() -> Result<bool> {
          answer = world_->answer(pending_[i].id);
          return answer.has_value();
        },
        limit, "the answer to '" + pending_[i].text + "'", false));
    const Pending pending = std::move(pending_[i]);
    pending_.erase(pending_.begin() + static_cast<std::ptrdiff_t>(i));
    if (auto settled = settle(pending, *answer); !settled)
      return error(settled.error().code,
                   "'" + pending.text + "' in the background: " + settled.error().what);
  }
  return {};
}

Result<ScenarioRunner::Taken> ScenarioRunner::taken(const std::string& snapshot) {
  if (snapshot == "latest") {
    WEIR_TRY_ASSIGN(directory, world_->latest_snapshot());
    if (directory.empty())
      return error(Errc::not_found, "there is no complete snapshot of the job");
    return Taken{directory, 0, {}, 0, 0};
  }
  WEIR_TRY(await_answers(&snapshot, std::nullopt));
  const auto found = taken_.find(snapshot);
  if (found == taken_.end())
    return error(Errc::not_found, "there is no snapshot '" + snapshot +
                                      "', because the step that was to take it failed");
  return found->second;
}

Result<std::string> ScenarioRunner::directory_of(const std::string& snapshot) {
  WEIR_TRY_ASSIGN(one, taken(snapshot));
  if (one.directory.empty())
    return error(Errc::unsupported, "'" + snapshot +
                                        "' is kept in memory and has no directory; set "
                                        "state.checkpoints.dir, or take a savepoint");
  return one.directory;
}

Status ScenarioRunner::do_step(const Step& step) {
  const auto fault = [&](auto one, bool crash, ProcessName process) -> Status {
    StepReport& report = report_.steps.back();
    report.is_fault = true;
    report.is_crash = crash;
    report.process = process;
    return world_->inject(WorldFault(std::move(one)));
  };
  const ProcessName none{ProcessKind::client, 0};
  return std::visit(
      Overloaded{
          [&](const StartStep& start) -> Status {
            StartJobRequest request{start.from,
                                    start.parallelism,
                                    start.backend,
                                    start.claim,
                                    start.allow_non_restored_state,
                                    start.more_arguments};
            if (!start.from.empty() && start.from != "latest") {
              WEIR_TRY_ASSIGN(directory, directory_of(start.from));
              request.restore = directory;
            }
            run_first_message_ = world_->messages().size();
            return ask(request, start.asking, "", step);
          },
          [&](const CheckpointStep& one) {
            return ask(TakeCheckpointRequest{}, one.asking, one.name, step);
          },
          [&](const SavepointStep& one) {
            return ask(TakeSavepointRequest{one.end, one.form, one.drain}, one.asking, one.name,
                       step);
          },
          [&](const CancelStep& one) { return ask(CancelJobRequest{}, one.asking, "", step); },
          [&](const WaitStep& wait) -> Status {
            const std::size_t first = world_->messages().size();
            if (wait.answers) return await_answers(nullptr, step.within);
            if (wait.time) return let_pass(*wait.time);
            // What was seen is not looked at again.
            std::size_t next = first;
            std::uint64_t seen = 0;
            std::set<std::uint64_t> completed;
            const auto reached = [&]() -> Result<bool> {
              if (wait.records || wait.state) {
                WEIR_TRY_ASSIGN(job, world_->job());
                if (wait.state) return job.submitted && !job.gone && job.state == *wait.state;
                if (wait.operator_uid.empty()) return job.source_records >= *wait.records;
                const auto found = job.records_in.find(wait.operator_uid);
                return found != job.records_in.end() && found->second >= *wait.records;
              }
              if (wait.output) {
                WEIR_TRY_ASSIGN(lines, world_->output());
                return lines.size() >= *wait.output;
              }
              const auto& messages = world_->messages();
              for (; next < messages.size(); ++next) {
                const SeenMessage& message = messages[next];
                if (wait.message && matches(*wait.message, message)) ++seen;
                if (message.message == "NotifyCheckpointComplete")
                  completed.insert(message.checkpoint);
              }
              if (wait.message) return seen >= wait.times;
              return completed.size() >= *wait.checkpoints;
            };
            const auto number_reached = [&]() -> Result<bool> {
              const auto& messages = world_->messages();
              return std::any_of(messages.begin() + static_cast<std::ptrdiff_t>(run_first_message_),
                                 messages.end(), [&](const SeenMessage& message) {
                                   return message.message == "NotifyCheckpointComplete" &&
                                          message.checkpoint == *wait.checkpoint;
                                 });
            };
            return await(wait.checkpoint ? std::function<Result<bool>()>(number_reached) : reached,
                         step.within, "what the step says", true);
          },
          [&](const ExpectStep& expect) -> Status {
            for (const Expectation& expectation : expect.expectations) {
              ExpectationReport report = look_at(expectation);
              const bool met = report.met;
              const std::string what = "expected " + report.expected + ", found " + report.found;
              report_.expectations.push_back(std::move(report));
              if (!met) return error(Errc::invalid_argument, what);
            }
            return {};
          },
          [&](const KillStep& one) { return fault(one, true, one.process); },
          [&](const PauseStep& one) { return fault(one, false, one.process); },
          [&](const ResumeStep& one) { return fault(one, false, one.process); },
          [&](const StartProcessStep& one) { return fault(one, false, one.process); },
          [&](CorruptStep one) -> Status {
            WEIR_TRY_ASSIGN(directory, directory_of(one.snapshot));
            one.snapshot = directory;
            return fault(std::move(one), false, none);
          },
          [&](const auto& one) { return fault(one, false, none); }},
      step.action);
}

// ---- expectations -----------------------------------------------------------------------------------

ExpectationReport ScenarioRunner::look_at(const Expectation& expectation) {
  ExpectationReport report{expectation.place, expectation.text, false, {}, {}};
  const auto comparison =
      std::visit([&](const auto& condition) { return compare(condition); }, expectation.condition);
  if (!comparison) {
    // What cannot be looked at is neither so nor not so.
    report.expected = "something to look at";
    report.found = comparison.error().what;
    return report;
  }
  report.met = comparison->equal != expectation.negated;
  report.expected = (expectation.negated ? "anything but " : "") + comparison->expected;
  report.found = comparison->found;
  return report;
}

Result<std::vector<std::string>> ScenarioRunner::fault_free_output() {
  if (fault_free_output_) return *fault_free_output_;
  // The same job with the same input, from its begin to its end.
  Scenario calm = scenario_;
  calm.expectations.clear();
  calm.steps.clear();
  for (const Step& step : scenario_.steps) {
    const auto* start = std::get_if<StartStep>(&step.action);
    if (start == nullptr || !start->from.empty() || start->asking.fails) continue;
    StartStep run = *start;
    run.asking = {};
    calm.steps.push_back({step.place, "run", run, std::nullopt});
    break;
  }
  WaitStep wait;
  wait.state = JobState::finished;
  calm.steps.push_back({{}, "wait: finished", wait, std::nullopt});
  ScenarioRunner runner(calm, make_world_);
  WEIR_TRY_ASSIGN(report, runner.run());
  if (!report.passed()) {
    const auto failures = report.failures();
    return error(Errc::invalid_argument,
                 "the run without faults, with which to compare, failed: " +
                     (failures.empty() ? "its steps were not done" : failures.front()));
  }
  WEIR_TRY_ASSIGN(lines, runner.world_->output());
  fault_free_output_ = lines;
  return lines;
}

Result<ScenarioRunner::Comparison> ScenarioRunner::compare(const OutputExpectation& expectation) {
  WEIR_TRY_ASSIGN(found, world_->output());
  std::ranges::sort(found);
  const std::string so_many = counted(found.size(), "line");
  if (expectation.count)
    return Comparison{found.size() == *expectation.count, counted(*expectation.count, "line"),
                      so_many};
  if (expectation.contains) {
    std::vector<std::string> wanted = *expectation.contains;
    std::ranges::sort(wanted);
    const auto missing = only_in(wanted, found);
    return Comparison{missing.empty(), "these lines among others",
                      so_many + (missing.empty() ? ", these among them"
                                                 : ", and not '" + shortened(missing[0]) + "'")};
  }
  std::vector<std::string> wanted;
  std::string whose = "these ";
  if (expectation.exactly_once) {
    WEIR_TRY_ASSIGN(lines, fault_free_output());
    wanted = std::move(lines);
    whose = "those of a run without faults, ";
  } else {
    wanted = *expectation.lines;
    if (!expectation.file.empty()) whose = "those of " + expectation.file + ", ";
  }
  std::ranges::sort(wanted);
  const auto missing = only_in(wanted, found);
  const auto extra = only_in(found, wanted);
  return Comparison{missing.empty() && extra.empty(), whose + counted(wanted.size(), "line"),
                    so_many + differences(missing, extra)};
}

Result<ScenarioRunner::Comparison> ScenarioRunner::compare(const StateExpectation& expectation) {
  WEIR_TRY_ASSIGN(directory, directory_of(expectation.snapshot));
  WEIR_TRY_ASSIGN(values, world_->snapshot(directory));
  if (!expectation.like.empty()) {
    WEIR_TRY_ASSIGN(other_directory, directory_of(expectation.like));
    WEIR_TRY_ASSIGN(other, world_->snapshot(other_directory));
    Comparison comparison{true, "the keyed state of '" + expectation.like + "'", "the same"};
    std::set<std::pair<std::string, std::string>> names;
    for (const auto* side : {&values, &other})
      for (const auto& [name, state] : side->states) {
        if (!is_keyed(state.kind)) continue;
        if (!state.unreadable.empty())
          return error(Errc::unsupported, "operator '" + name.first + "', state '" + name.second +
                                              "': " + state.unreadable);
        names.insert(name);
      }
    for (const auto& name : names) {
      const auto json = [&](const SnapshotValues& side) {
        const auto at = side.states.find(name);
        return at == side.states.end() ? Json::object() : Json::parse(at->second.json);
      };
      const std::string difference = first_difference(json(other), json(values), false);
      if (difference.empty()) continue;
      comparison.equal = false;
      comparison.found =
          "in operator '" + name.first + "', state '" + name.second + "', " + difference;
      break;
    }
    return comparison;
  }
  const auto found = values.states.find({expectation.operator_uid, expectation.state});
  if (found == values.states.end()) {
    std::string all;
    for (const auto& [name, state] : values.states)
      all += (all.empty() ? "" : ", ") + ("'" + name.first + "': '" + name.second + "'");
    return error(Errc::not_found, "the snapshot has no state '" + expectation.state +
                                      "' of operator '" + expectation.operator_uid + "'; it has " +
                                      (all.empty() ? "none" : shortened(all)));
  }
  if (!found->second.unreadable.empty()) return error(Errc::unsupported, found->second.unreadable);
  const Json json = Json::parse(found->second.json);
  if (expectation.keys)
    return Comparison{json.size() == *expectation.keys, std::to_string(*expectation.keys) + " keys",
                      std::to_string(json.size())};
  const bool part = expectation.contains.has_value();
  const Json wanted = Json::parse(part ? *expectation.contains : *expectation.equals);
  if (wanted.is_object() != is_keyed(found->second.kind) && !wanted.empty())
    return error(Errc::invalid_argument,
                 is_keyed(found->second.kind)
                     ? "the state is keyed; a mapping from keys to values is compared with it"
                     : "the state belongs to no key; a list is compared with it");
  const std::string difference =
      wanted.empty() && json.empty() ? "" : first_difference(wanted, json, part);
  return Comparison{difference.empty(), (part ? "at least " : "") + shortened(wanted.dump()),
                    difference.empty() ? "it" : difference};
}

Result<std::vector<const SeenMessage*>> ScenarioRunner::messages_of(const std::string& of) {
  std::vector<const SeenMessage*> result;
  const auto& messages = world_->messages();
  if (of.empty()) {
    for (const SeenMessage& message : messages) result.push_back(&message);
    return result;
  }
  WEIR_TRY_ASSIGN(snapshot, taken(of));
  if (snapshot.checkpoint == 0) {
    WEIR_TRY_ASSIGN(values, world_->snapshot(snapshot.directory));
    snapshot.checkpoint = values.checkpoint;
  }
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const bool while_asked = i >= snapshot.first_message && i < snapshot.end_message;
    const bool same_job = snapshot.job.empty() || messages[i].job == snapshot.job;
    if ((messages[i].checkpoint == snapshot.checkpoint && same_job) ||
        (messages[i].checkpoint == 0 && while_asked))
      result.push_back(&messages[i]);
  }
  return result;
}

Result<ScenarioRunner::Comparison> ScenarioRunner::compare(const MessagesExpectation& expectation) {
  WEIR_TRY_ASSIGN(messages, messages_of(expectation.of));
  std::size_t next = 0;
  std::size_t looked_at = 0;
  std::size_t last_found = 0;
  for (const SeenMessage* message : messages) {
    ++looked_at;
    if (next < expectation.in_order.size() && matches(expectation.in_order[next], *message)) {
      ++next;
      last_found = looked_at;
    }
  }
  const bool all = next == expectation.in_order.size();
  std::string found = "them";
  if (!all) {
    const auto elsewhere = std::ranges::count_if(messages, [&](const SeenMessage* message) {
      return matches(expectation.in_order[next], *message);
    });
    found =
        "'" + to_string(expectation.in_order[next]) + "' " +
        (elsewhere == 0 ? "nowhere"
         : next == 0    ? "nowhere"
                     : "not behind '" + to_string(expectation.in_order[next - 1]) + "' (message " +
                           std::to_string(last_found) + "), but " +
                           counted(static_cast<std::uint64_t>(elsewhere), "time") + " before it");
  }
  return Comparison{all, counted(expectation.in_order.size(), "message") + " in this order", found};
}

Result<ScenarioRunner::Comparison> ScenarioRunner::compare(
    const MessageCountExpectation& expectation) {
  WEIR_TRY_ASSIGN(messages, messages_of(expectation.of));
  const auto count =
      static_cast<std::uint64_t>(std::ranges::count_if(messages, [&](const SeenMessage* message) {
        return matches(expectation.message, *message);
      }));
  return compare_count(count, expectation.times, expectation.at_least, expectation.at_most,
                       " of '" + to_string(expectation.message) + "'", std::to_string(count));
}

ScenarioRunner::Comparison ScenarioRunner::compare_count(
    std::uint64_t count, std::optional<std::uint64_t> exactly, std::optional<std::uint64_t> least,
    std::optional<std::uint64_t> most, const std::string& what, const std::string& found) {
  if (exactly) return {count == *exactly, std::to_string(*exactly) + what, found};
  if (!least && !most) least = 1;
  std::string expected;
  if (least) expected = "at least " + std::to_string(*least);
  if (most) expected += (least ? " and " : "") + ("at most " + std::to_string(*most));
  return {(!least || count >= *least) && (!most || count <= *most), expected + what, found};
}

Result<ScenarioRunner::Comparison> ScenarioRunner::compare(const DeclinedExpectation& expectation) {
  WEIR_TRY_ASSIGN(messages, messages_of(expectation.of));
  std::string seen;
  for (const SeenMessage* message : messages) {
    if (message->message != "DeclineCheckpoint") continue;
    const bool fits =
        (!expectation.reason || message->reason == enumerator_name(*expectation.reason)) &&
        message->detail.find(expectation.contains) != std::string::npos;
    seen = message->reason + " (" + message->from + ": " + message->detail + ")";
    if (fits) return Comparison{true, "such a decline", seen};
  }
  std::string expected = "a checkpoint to be declined";
  if (expectation.reason) expected += ": " + std::string(enumerator_name(*expectation.reason));
  return Comparison{false, expected, seen.empty() ? "that none was declined" : shortened(seen)};
}

Result<ScenarioRunner::Comparison> ScenarioRunner::compare(const JobExpectation& expectation) {
  WEIR_TRY_ASSIGN(job, world_->job());
  Comparison comparison{true, "", ""};
  const auto add = [&](bool equal, const std::string& expected, const std::string& found) {
    // The first difference is shown, or else everything.
    if (!comparison.equal) return;
    if (!equal) comparison = {false, "", ""};
    comparison.expected += (comparison.expected.empty() ? "" : ", ") + expected;
    comparison.found += (comparison.found.empty() ? "" : ", ") + found;
  };
  if (expectation.state)
    add(job.submitted && !job.gone && job.state == *expectation.state,
        "the job to be " + std::string(enumerator_name(*expectation.state)),
        state_of(job) + (job.failure.empty() ? "" : ": " + shortened(job.failure)));
  if (expectation.failure)
    add(!job.failure.empty() && job.failure.find(*expectation.failure) != std::string::npos,
        "a failure with '" + *expectation.failure + "'",
        job.failure.empty() ? "none" : "'" + shortened(job.failure) + "'");
  if (expectation.restarts)
    add(job.restarts == *expectation.restarts, counted(*expectation.restarts, "restart"),
        std::to_string(job.restarts));
  if (!expectation.restored_from.empty()) {
    WEIR_TRY_ASSIGN(directory, directory_of(expectation.restored_from));
    add(job.restored_directory == directory, "the job to go on from " + directory,
        job.restored_directory.empty() ? "that it began with nothing" : job.restored_directory);
  }
  return comparison;
}

Result<ScenarioRunner::Comparison> ScenarioRunner::compare(
    const CheckpointsExpectation& expectation) {
  WEIR_TRY_ASSIGN(job, world_->job());
  const std::uint64_t completed = job.checkpoints_completed;
  Comparison comparison{true, "",
                        std::to_string(completed) + " completed, " +
                            std::to_string(job.checkpoints_failed) + " failed"};
  const auto add = [&](bool equal, const std::string& expected) {
    comparison.equal &= equal;
    comparison.expected += (comparison.expected.empty() ? "" : ", ") + expected;
  };
  if (expectation.completed)
    add(completed == *expectation.completed, std::to_string(*expectation.completed) + " completed");
  if (expectation.at_least)
    add(completed >= *expectation.at_least,
        std::to_string(*expectation.at_least) + " or more completed");
  if (expectation.at_most)
    add(completed <= *expectation.at_most,
        std::to_string(*expectation.at_most) + " or less completed");
  if (expectation.failed)
    add(job.checkpoints_failed == *expectation.failed,
        std::to_string(*expectation.failed) + " failed");
  return comparison;
}

Result<ScenarioRunner::Comparison> ScenarioRunner::compare(const SnapshotExpectation& expectation) {
  WEIR_TRY_ASSIGN(directory, directory_of(expectation.snapshot));
  static constexpr std::string_view names[] = {"complete", "damaged", "gone"};
  const auto values = world_->snapshot(directory);
  SnapshotCondition condition = SnapshotCondition::complete;
  std::string found = "that it is complete";
  if (!values && values.error().code == Errc::not_found) {
    // A file that is missing leaves a damaged snapshot; without `_metadata` there is none.
    const bool no_snapshot = values.error().what.find("_metadata") != std::string::npos;
    condition = no_snapshot ? SnapshotCondition::gone : SnapshotCondition::damaged;
    found = values.error().what;
  } else if (!values && values.error().code == Errc::corruption) {
    condition = SnapshotCondition::damaged;
    found = values.error().what;
  } else if (!values) {
    return std::unexpected(values.error());
  }
  return Comparison{
      condition == expectation.condition,
      directory + " to be " + std::string(names[static_cast<std::size_t>(expectation.condition)]),
      found};
}

Result<ScenarioRunner::Comparison> ScenarioRunner::compare(const ToldExpectation& expectation) {
  const std::string told = world_->told();
  const std::size_t at = told.find(expectation.contains);
  if (at == std::string::npos)
    return Comparison{false, "the words '" + expectation.contains + "'",
                      told.empty() ? "that nothing was told" : "'" + shortened(told) + "'"};
  const std::size_t begin =
      told.rfind('\n', at) == std::string::npos ? 0 : told.rfind('\n', at) + 1;
  return Comparison{
      true, "the words '" + expectation.contains + "'",
      "'" + shortened(told.substr(begin, std::min(told.find('\n', at), told.size()) - begin)) +
          "'"};
}

Result<ScenarioRunner::Comparison> ScenarioRunner::compare(const FilesExpectation& expectation) {
  WEIR_TRY_ASSIGN(files, world_->files());
  std::erase_if(files, [&](const std::string& path) {
    return ::fnmatch(expectation.like.c_str(), path.c_str(), FNM_NOESCAPE) != 0;
  });
  const std::string found =
      files.empty() ? "none" : std::to_string(files.size()) + ", such as " + shortened(files[0]);
  return compare_count(files.size(), expectation.count, expectation.at_least, expectation.at_most,
                       " of '" + expectation.like + "'", found);
}

Result<ScenarioRunner::Comparison> ScenarioRunner::compare(const WithinExpectation& expectation) {
  return Comparison{world_->now() <= expectation.time,
                    "no more than " + duration_text(expectation.time),
                    duration_text(world_->now())};
}

}  // namespace weir
