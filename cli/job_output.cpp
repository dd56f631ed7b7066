#include "cli/job_output.hpp"

#include <algorithm>
#include <cctype>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/text.hpp"

namespace weir {
namespace {

using Json = nlohmann::ordered_json;

/// Of names of operators and their uids; longer ones are cut.
constexpr std::size_t name_columns = 24;

/// One line; bytes that are no UTF-8, as names of files may have, are replaced.
std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

Json json_of(const JobOverview& job) {
  Json json{{"id", to_string(job.id)},
            {"name", job.name},
            {"state", state_name(job.state)},
            {"parallelism", job.parallelism},
            {"started_at_ms", job.started_at_ms},
            {"restarts", job.restarts}};
  if (job.ended_at_ms != 0) json["ended_at_ms"] = job.ended_at_ms;
  return json;
}

Json json_of(const CheckpointSummary& summary) {
  return {{"id", summary.id.value},
          {"kind", enumerator_name(summary.kind)},
          {"directory", summary.directory},
          {"triggered_at_ms", summary.triggered_at_ms},
          {"duration_ms", summary.duration_ms},
          {"size_bytes", summary.size_bytes},
          {"written_bytes", summary.written_bytes},
          {"alignment_us", summary.longest.alignment_us},
          {"sync_us", summary.longest.sync_us},
          {"async_us", summary.longest.async_us}};
}

Json json_of(const CheckpointProgress& progress) {
  return {{"id", progress.id.value},
          {"kind", enumerator_name(progress.kind)},
          {"triggered_at_ms", progress.triggered_at_ms},
          {"num_acknowledged_subtasks", progress.acknowledged},
          {"num_subtasks", progress.awaited},
          {"written_bytes", progress.written_bytes}};
}

Json json_of(const CheckpointCounts& counts) {
  Json under_way = Json::array();
  for (const CheckpointProgress& progress : counts.in_progress)
    under_way.push_back(json_of(progress));
  Json json{{"completed", counts.completed},
            {"failed", counts.failed},
            {"in_progress", counts.in_progress.size()},
            {"under_way", std::move(under_way)}};
  if (!counts.last_failure.empty()) json["last_failure"] = counts.last_failure;
  if (counts.last_completed) json["last_completed"] = json_of(*counts.last_completed);
  if (counts.last_savepoint) json["last_savepoint"] = json_of(*counts.last_savepoint);
  if (counts.restored_from) json["restored_from"] = counts.restored_from->value;
  if (!counts.restored_directory.empty()) json["restored_directory"] = counts.restored_directory;
  return json;
}

Json json_of(const OperatorMetrics& metrics) {
  return {{"uid", metrics.uid},
          {"name", metrics.name},
          {"parallelism", metrics.parallelism},
          {"records_in", metrics.records_in},
          {"records_out", metrics.records_out},
          {"state_bytes", metrics.state_bytes}};
}

Json operators_json(const std::vector<OperatorMetrics>& operators) {
  Json json = Json::array();
  for (const OperatorMetrics& metrics : operators) json.push_back(json_of(metrics));
  return json;
}

std::string describe(const CheckpointSummary& summary) {
  std::string text = std::to_string(summary.id.value) + " of " +
                     format_time(summary.triggered_at_ms) + ", " +
                     format_bytes(summary.size_bytes) +
                     (summary.written_bytes < summary.size_bytes
                          ? " (" + format_bytes(summary.written_bytes) + " written)"
                          : "") +
                     " in " + format_duration(std::chrono::milliseconds(summary.duration_ms));
  if (!summary.directory.empty()) text += ", " + summary.directory;
  return text;
}

/// Where the time of a checkpoint went, by the slowest task.
std::string describe(const CheckpointMetrics& longest) {
  const auto ms = [](std::int64_t us) {
    return fmt::format("{:.1f} ms", static_cast<double>(us) / 1000);
  };
  return "  slowest task: " + ms(longest.alignment_us) + " of alignment, stopped for " +
         ms(longest.sync_us) + ", writing for " + ms(longest.async_us) + "\n";
}

std::string checkpoints_text(const CheckpointCounts& counts) {
  std::string text = "checkpoints: " + std::to_string(counts.completed) + " completed, " +
                     std::to_string(counts.failed) + " failed, " +
                     std::to_string(counts.in_progress.size()) + " under way\n";
  if (!counts.last_failure.empty())
    text += "  last failure: " + printable(counts.last_failure) + "\n";
  for (const CheckpointProgress& progress : counts.in_progress)
    text += "  under way: " + progress_text(progress) + "\n";
  if (counts.last_completed)
    text += "  last: " + describe(*counts.last_completed) + "\n" +
            describe(counts.last_completed->longest);
  if (counts.last_savepoint) text += "  last savepoint: " + describe(*counts.last_savepoint) + "\n";
  if (!counts.restored_directory.empty())
    text += "  restored from: " + counts.restored_directory + "\n";
  return text;
}

}  // namespace

std::string state_name(JobState state) {
  std::string name(enumerator_name(state));
  std::ranges::transform(name, name.begin(),
                         [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return name;
}

std::string progress_text(const CheckpointProgress& progress) {
  return (progress.kind == SnapshotKind::checkpoint ? "checkpoint " : "savepoint ") +
         std::to_string(progress.id.value) + ": " + std::to_string(progress.acknowledged) + " of " +
         counted(progress.awaited, "subtask") + ", " + format_bytes(progress.written_bytes);
}

std::string jobs_json(const std::vector<JobOverview>& jobs) {
  Json list = Json::array();
  for (const JobOverview& job : jobs) list.push_back(json_of(job));
  return dump({{"jobs", list}});
}

std::string jobs_text(const std::vector<JobOverview>& jobs) {
  if (jobs.empty()) return {};
  std::string text =
      fit("JOB", 34) + fit("STATE", 12) + fit("PARALLELISM", 13) + fit("STARTED", 21) + "NAME\n";
  for (const JobOverview& job : jobs)
    text += fit(to_string(job.id), 34) + fit(state_name(job.state), 12) +
            fit(std::to_string(job.parallelism), 13) + fit(format_time(job.started_at_ms), 21) +
            job.name + "\n";
  return text;
}

std::string details_json(const JobDetails& details) {
  Json json = json_of(details.overview);
  if (!details.failure.empty()) json["failure"] = details.failure;
  json["operators"] = operators_json(details.operators);
  json["checkpoints"] = json_of(details.checkpoints);
  json["checkpoint_directory"] = details.checkpoint_directory;
  json["log_file"] = details.log_file;
  Json tasks = Json::array();
  for (const auto& [task, state] : details.tasks)
    tasks.push_back(Json{{"task", task}, {"state", state}});
  json["tasks"] = tasks;
  json["vertices"] = details.vertices;
  return dump(json);
}

std::string details_text(const JobDetails& details) {
  const JobOverview& job = details.overview;
  std::string text = "job " + to_string(job.id) + " (" + job.name + ") is " +
                     state_name(job.state) + " since " + format_time(job.started_at_ms) +
                     ", restarted " + counted(job.restarts, "time") + "\n";
  if (!details.failure.empty()) text += "last failure: " + printable(details.failure) + "\n";
  // Errors name an operator by its uid.
  text += fit("OPERATOR", name_columns) + fit("UID", name_columns) + fit("PARALLELISM", 13) +
          fit("RECORDS IN", 16) + fit("RECORDS OUT", 16) + "STATE\n";
  const auto column = [](const std::string& name) {
    return fit(fit(printable(name), name_columns - 1), name_columns);
  };
  for (const OperatorMetrics& one : details.operators)
    text += column(one.name) + column(one.uid) + fit(std::to_string(one.parallelism), 13) +
            fit(format_count(one.records_in), 16) + fit(format_count(one.records_out), 16) +
            format_bytes(one.state_bytes) + "\n";
  text += checkpoints_text(details.checkpoints);
  text += "checkpoint directory: " +
          (details.checkpoint_directory.empty() ? "none (state.checkpoints.dir is not set)"
                                                : details.checkpoint_directory) +
          "\nlog file: " + details.log_file + "\n";
  return text;
}

std::string savepoint_json(const JobId& job, const std::string& path) {
  return dump({{"job", to_string(job)}, {"savepoint", path}});
}

std::string cancellation_json(const JobId& job) {
  return dump({{"job", to_string(job)}, {"state", state_name(JobState::canceled)}});
}

std::string error_json(const Error& error) { return dump({{"error", error.what}}); }

std::string disposal_json(const std::string& path) { return dump({{"disposed", path}}); }

std::string checkpoint_json(const CheckpointCompleted& completed) {
  return dump({{"job", to_string(completed.job)},
               {"checkpoint", completed.checkpoint.value},
               {"directory", completed.directory}});
}

RunTotals totals_of(const JobDetails& details, const PlanDescription& plan) {
  RunTotals totals;
  const JobOverview& job = details.overview;
  if (job.ended_at_ms != 0) totals.duration_ms = job.ended_at_ms - job.started_at_ms;
  std::set<std::uint32_t> producers;
  for (const EdgeDescription& edge : plan.edges) producers.insert(edge.producer);
  for (std::uint32_t i = 0; i < plan.operators.size(); ++i) {
    const OperatorDescription& description = plan.operators[i];
    const auto metrics =
        std::ranges::find(details.operators, description.uid, &OperatorMetrics::uid);
    if (metrics == details.operators.end()) continue;
    if (description.source) totals.records_in += metrics->records_out;
    if (!producers.contains(i)) totals.records_out += metrics->records_in;
  }
  return totals;
}

std::string summary_json(const JobDetails& details, const PlanDescription& plan) {
  const RunTotals totals = totals_of(details, plan);
  Json json{{"job", to_string(details.overview.id)},
            {"name", details.overview.name},
            {"state", state_name(details.overview.state)},
            {"parallelism", details.overview.parallelism},
            {"records_in", totals.records_in},
            {"records_out", totals.records_out},
            {"duration_ms", totals.duration_ms},
            {"restarts", details.overview.restarts}};
  if (!details.failure.empty()) json["failure"] = details.failure;
  json["checkpoints"] = json_of(details.checkpoints);
  json["operators"] = operators_json(details.operators);
  json["log_file"] = details.log_file;
  return dump(json);
}

std::string summary_text(const JobDetails& details, const PlanDescription& plan) {
  const RunTotals totals = totals_of(details, plan);
  const JobOverview& job = details.overview;
  const std::chrono::milliseconds duration(totals.duration_ms);
  std::string text = "job " + to_string(job.id) + " (" + job.name + ") is " +
                     state_name(job.state) + " after " + format_duration(duration) + ": " +
                     format_count(totals.records_in) + " records in, " +
                     format_count(totals.records_out) + " out";
  if (totals.duration_ms > 0)
    text +=
        ", " +
        format_count(totals.records_in * 1000 / static_cast<std::uint64_t>(totals.duration_ms)) +
        " records/s";
  text += "; " + counted(details.checkpoints.completed, "checkpoint");
  if (job.restarts > 0) text += "; " + counted(job.restarts, "restart");
  text += "\n";
  if (details.checkpoints.last_savepoint)
    text += "last savepoint: " + details.checkpoints.last_savepoint->directory + "\n";
  return text;
}

}  // namespace weir
