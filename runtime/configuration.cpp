#include "runtime/configuration.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <span>
#include <type_traits>
#include <utility>

#include "runtime/nearest.hpp"
#include "state/key_groups.hpp"

namespace weir {

namespace {

using std::chrono::milliseconds;
using Settings = Configuration::Settings;

// ---- What values look like ----------------------------------------------------------------------

enum class ValueKind : std::uint8_t {
  text,       ///< any, without control characters
  directory,  ///< as text, until it is resolved
  integer,
  decimal,
  duration,  ///< milliseconds
  memory,    ///< bytes
  choice     ///< one of the row's spellings
};

/// One way to write a value of an enumeration.
struct Spelling {
  template <class Enumeration>
  constexpr Spelling(std::string_view spelling, Enumeration meaning)
      : text(spelling), value(static_cast<std::uint8_t>(meaning)) {}

  std::string_view text;
  std::uint8_t value;
};

constexpr std::array backend_spellings = {
    Spelling{"jobmanager", StateBackendKind::jobmanager},
    Spelling{"memory", StateBackendKind::jobmanager},
    Spelling{"filesystem", StateBackendKind::filesystem},
    Spelling{"fs", StateBackendKind::filesystem},
    Spelling{"hashmap", StateBackendKind::filesystem},
    Spelling{"rocksdb", StateBackendKind::rocksdb},
};
constexpr std::array alignment_spellings = {
    Spelling{"EXACTLY_ONCE", Alignment::exactly_once},
    Spelling{"AT_LEAST_ONCE", Alignment::at_least_once},
};
constexpr std::array retention_spellings = {
    Spelling{"NO_EXTERNALIZED_CHECKPOINTS", CheckpointRetention::no_externalized_checkpoints},
    Spelling{"DELETE_ON_CANCELLATION", CheckpointRetention::delete_on_cancellation},
    Spelling{"RETAIN_ON_CANCELLATION", CheckpointRetention::retain_on_cancellation},
};
constexpr std::array boolean_spellings = {
    Spelling{"false", false},
    Spelling{"true", true},
};
constexpr std::array restart_spellings = {
    Spelling{"none", Configuration::RestartKind::none},
    Spelling{"off", Configuration::RestartKind::none},
    Spelling{"disable", Configuration::RestartKind::none},
    Spelling{"fixed-delay", Configuration::RestartKind::fixed_delay},
    Spelling{"exponential-delay", Configuration::RestartKind::exponential_delay},
    Spelling{"failure-rate", Configuration::RestartKind::failure_rate},
};

template <class T>
constexpr std::span<const Spelling> spellings_of() {
  if constexpr (std::is_same_v<T, StateBackendKind>)
    return backend_spellings;
  else if constexpr (std::is_same_v<T, Alignment>)
    return alignment_spellings;
  else if constexpr (std::is_same_v<T, CheckpointRetention>)
    return retention_spellings;
  else if constexpr (std::is_same_v<T, Configuration::RestartKind>)
    return restart_spellings;
  else if constexpr (std::is_same_v<T, bool>)
    return boolean_spellings;
  else
    return {};
}

constexpr double forever_ms = 36500.0 * 24 * 3600 * 1000;  // a hundred years, so that sums fit
constexpr double year_ms = 365.0 * 24 * 3600 * 1000;
constexpr double most_bytes = 1024.0 * 1024 * 1024 * 1024 * 64;

template <class T>
constexpr ValueKind kind_of() {
  if constexpr (std::is_enum_v<T> || std::is_same_v<T, bool>)
    return ValueKind::choice;
  else if constexpr (std::is_same_v<T, std::uint32_t>)
    return ValueKind::integer;
  else if constexpr (std::is_same_v<T, std::uint64_t>)
    return ValueKind::memory;
  else if constexpr (std::is_same_v<T, double>)
    return ValueKind::decimal;
  else if constexpr (std::is_same_v<T, milliseconds>)
    return ValueKind::duration;
  else
    return ValueKind::text;
}
template <class T>
constexpr double most_of() {
  if constexpr (std::is_same_v<T, std::uint32_t>)
    return std::numeric_limits<std::uint32_t>::max();
  else if constexpr (std::is_same_v<T, std::uint64_t>)
    return most_bytes;
  else if constexpr (std::is_same_v<T, milliseconds>)
    return forever_ms;
  else
    return std::numeric_limits<double>::max();
}

// ---- The rows -----------------------------------------------------------------------------------

enum class Section : std::uint8_t { execution, state, rocksdb, checkpoints, restart, processes };

/// What differs from what the field's type says.
struct RowOptions {
  std::array<std::string_view, 2> aliases = {};  ///< deprecated names, empty ones unused
  double least = 0;                              ///< in ms, bytes or as written
  double most = -1;                              ///< negative: what the type holds
  std::string_view absent = {};                  ///< the word for "no value" of an optional field
  std::string_view unset = {};  ///< what an empty default means, for the documentation
  bool directory = false;
};

struct Row;
/// Stores `text` in the row's field; false if it does not fit, and then nothing has changed.
using Assign = bool (*)(const Row& row, std::string_view text, Settings& settings);

struct Row {
  Section section;
  std::string_view key;
  std::string_view default_text;
  std::string_view description;
  RowOptions options;
  ValueKind kind;
  std::span<const Spelling> spellings;
  double most;
  Assign assign;
};

template <class T>
struct Optional : std::false_type {
  using Value = T;
};
template <class T>
struct Optional<std::optional<T>> : std::true_type {
  using Value = T;
};

/// Reads a number of any kind, within the row's range.
std::optional<double> parse_scalar(const Row& row, std::string_view text);
/// How words are compared: `EXACTLY_ONCE`, `exactly-once` and `exactlyonce` are one.
std::string folded(std::string_view text);
/// Reads `text` as a `T` of the row's kind and range.
template <class T>
std::optional<T> parse(const Row& row, std::string_view text);

template <auto Member, auto... Members>
auto& field(auto& owner) {
  if constexpr (sizeof...(Members) == 0)
    return owner.*Member;
  else
    return field<Members...>(owner.*Member);
}

template <auto... Path>
bool assign_field(const Row& row, std::string_view text, Settings& settings) {
  auto& target = field<Path...>(settings);
  using Target = std::remove_reference_t<decltype(target)>;
  using Value = typename Optional<Target>::Value;
  if constexpr (Optional<Target>::value) {
    if (folded(text) == folded(row.options.absent)) {
      target.reset();
      return true;
    }
  }
  std::optional<Value> value = parse<Value>(row, text);
  if (!value) return false;
  target = Value(std::move(*value));
  return true;
}

/// A row of the table: `Path` leads from `Settings` to the field.
template <auto... Path>
constexpr Row row(Section section, std::string_view key, std::string_view default_text,
                  std::string_view description, RowOptions options = {}) {
  using Field = std::remove_cvref_t<decltype(field<Path...>(std::declval<Settings&>()))>;
  using Value = typename Optional<Field>::Value;
  return {.section = section,
          .key = key,
          .default_text = default_text,
          .description = description,
          .options = options,
          .kind = options.directory ? ValueKind::directory : kind_of<Value>(),
          .spellings = spellings_of<Value>(),
          .most = options.most < 0 ? most_of<Value>() : options.most,
          .assign = &assign_field<Path...>};
}

/// Every key. A key is added here and nowhere else; its type follows from the field.
/// Keys and defaults are Flink's wherever Flink has them.
std::span<const Row> table() {
  using S = Settings;
  static constexpr std::array rows = {
      // Execution
      row<&S::execution, &ExecutionConfig::job_name>(
          Section::execution, "pipeline.name", "",
          "Name of the job, by which `-s latest` finds its snapshots.",
          {.unset = "the name in `WEIR_JOB`"}),
      row<&S::execution, &ExecutionConfig::parallelism>(
          Section::execution, "parallelism.default", "1", "Parallelism of operators that set none.",
          {.least = 1, .most = max_key_groups}),
      row<&S::execution, &ExecutionConfig::max_parallelism>(
          Section::execution, "pipeline.max-parallelism", "auto",
          "Maximum parallelism, which is the number of key groups, of operators that set none; it "
          "cannot change once there is state. `auto`: 1.5 times the parallelism rounded up to a "
          "power of two, at least 128.",
          {.least = 1, .most = max_key_groups, .absent = "auto"}),
      row<&S::execution, &ExecutionConfig::buffer_timeout>(
          Section::execution, "execution.buffer-timeout", "5 ms",
          "Longest time a record waits in a partly filled batch; with 0 it never waits.",
          {.aliases = {"execution.buffer-timeout.interval"}}),
      row<&S::execution, &ExecutionConfig::channel_bytes>(
          Section::execution, "taskmanager.network.memory.per-channel", "256 kb",
          "Bound of the records that wait between two subtasks; a producer that reaches it waits.",
          {.least = 1024}),
      row<&S::execution, &ExecutionConfig::cancellation_timeout>(
          Section::execution, "task.cancellation.timeout", "180 s",
          "How long a cancelled task may take to end before its process names the operator and "
          "ends "
          "itself; with 0 it waits for ever."),

      // State and snapshots
      row<&S::state, &StateBackendConfig::kind>(
          Section::state, "state.backend", "jobmanager",
          "Where working state is kept. `jobmanager` (or `memory`): in memory, snapshots travel to "
          "the JobManager, at most 5 MiB per state and subtask; `filesystem` (or `fs`, `hashmap`): "
          "in memory, snapshots go to files; `rocksdb`: in RocksDB on the local disk, snapshots go "
          "to files.",
          {.aliases = {"state.backend.type"}}),
      row<&S::directories, &DirectoryConfig::checkpoints>(
          Section::state, "state.checkpoints.dir", "", "Directory of checkpoints.",
          {.aliases = {"state.backend.fs.checkpointdir", "execution.checkpointing.dir"},
           .unset = "a temporary directory, removed at the end",
           .directory = true}),
      row<&S::directories, &DirectoryConfig::savepoints>(
          Section::state, "state.savepoints.dir", "",
          "Directory of savepoints that are asked for without one.",
          {.aliases = {"savepoints.state.backend.fs.dir", "execution.checkpointing.savepoint-dir"},
           .unset = "such savepoints are refused",
           .directory = true}),
      row<&S::checkpoints, &CheckpointConfig::num_retained>(
          Section::state, "state.checkpoints.num-retained", "1",
          "How many completed checkpoints are kept while the job runs.",
          {.aliases = {"execution.checkpointing.num-retained"}, .least = 1}),
      row<&S::state, &StateBackendConfig::inline_threshold_bytes>(
          Section::state, "state.backend.fs.memory-threshold", "20 kb",
          "A subtask's share of a checkpoint below this size becomes part of `_metadata` instead "
          "of "
          "a file of its own.",
          {.aliases = {"state.storage.fs.memory-threshold",
                       "execution.checkpointing.data-inline-threshold"},
           .most = 1 << 20}),
      row<&S::state, &StateBackendConfig::heap_bytes>(
          Section::state, "taskmanager.memory.task.heap.size", "unlimited",
          "Memory that the state of the backends `jobmanager` and `filesystem` may take in a "
          "process, snapshots under way included. Over it a snapshot is given up, and without one "
          "the task fails.",
          {.least = 1 << 20, .absent = "unlimited"}),

      // RocksDB
      row<&S::state, &StateBackendConfig::rocksdb_directory>(
          Section::rocksdb, "state.backend.rocksdb.localdir", "",
          "Directory of the working databases, which are removed at the end; a fast local disk.",
          {.aliases = {"state.backend.rocksdb.checkpointdir"},
           .unset = "below `io.tmp.dirs`",
           .directory = true}),
      row<&S::state, &StateBackendConfig::rocksdb_memory_bytes>(
          Section::rocksdb, "state.backend.rocksdb.memory.fixed-per-tm", "512 mb",
          "Memory of all databases of a process together: of the tables that hold what was changed "
          "and read lately, and of the block cache. A job needs 1 mb of it for each subtask with "
          "keyed state. While checkpoints are taken, a process occupies up to about as much again.",
          {.aliases = {"taskmanager.memory.managed.size"}, .least = 1 << 20}),
      row<&S::state, &StateBackendConfig::rocksdb_table_ratio>(
          Section::rocksdb, "state.backend.rocksdb.memory.write-buffer-ratio", "0.5",
          "Share of that memory that the tables may take; the subtasks have equal parts of it.",
          {.most = 1}),

      // Checkpointing
      row<&S::checkpoints, &CheckpointConfig::interval>(
          Section::checkpoints, "execution.checkpointing.interval", "none",
          "Time from one periodic checkpoint to the next. With `none` there are no periodic "
          "checkpoints; savepoints work all the same.",
          {.least = 1, .absent = "none"}),
      row<&S::checkpoints, &CheckpointConfig::mode>(
          Section::checkpoints, "execution.checkpointing.mode", "EXACTLY_ONCE",
          "Whether a task with several inputs holds back those that have delivered the barrier "
          "(`EXACTLY_ONCE`) or goes on reading them, so that a restart may count records twice "
          "(`AT_LEAST_ONCE`)."),
      row<&S::checkpoints, &CheckpointConfig::timeout>(
          Section::checkpoints, "execution.checkpointing.timeout", "10 min",
          "A checkpoint or savepoint that takes longer is given up.", {.least = 1}),
      row<&S::checkpoints, &CheckpointConfig::min_pause>(
          Section::checkpoints, "execution.checkpointing.min-pause", "0 ms",
          "Least time from the completion of a checkpoint to the start of the next periodic one; a "
          "shorter interval is raised to it.",
          {.most = year_ms}),
      row<&S::checkpoints, &CheckpointConfig::max_concurrent>(
          Section::checkpoints, "execution.checkpointing.max-concurrent-checkpoints", "1",
          "How many checkpoints may be under way at a time; savepoints do not count.",
          {.least = 1}),
      row<&S::checkpoints, &CheckpointConfig::incremental>(
          Section::checkpoints, "execution.checkpointing.incremental", "false",
          "Whether a checkpoint writes only what was changed since the last completed one, and "
          "names "
          "the files of older ones for the rest; they lie in `shared/`. The backends `filesystem` "
          "and `rocksdb` can; `jobmanager` writes every checkpoint whole.",
          {.aliases = {"state.backend.incremental"}}),
      row<&S::checkpoints, &CheckpointConfig::tolerable_failed>(
          Section::checkpoints, "execution.checkpointing.tolerable-failed-checkpoints", "unlimited",
          "How many checkpoints in a row may fail before the job fails and restarts.",
          {.absent = "unlimited"}),
      row<&S::checkpoints, &CheckpointConfig::retention>(
          Section::checkpoints, "execution.checkpointing.externalized-checkpoint-retention",
          "NO_EXTERNALIZED_CHECKPOINTS",
          "Whether the last checkpoints of a job that finishes or is cancelled are deleted or kept "
          "(`RETAIN_ON_CANCELLATION`). Those of a job that fails or is killed are always kept. All "
          "but the default need `state.checkpoints.dir`."),

      // Restart
      row<&S::restart>(
          Section::restart, "restart-strategy", "auto",
          "Whether and when a failed job starts again from its latest checkpoint. `auto`: "
          "`exponential-delay` with periodic checkpoints, `none` without.",
          {.aliases = {"restart-strategy.type"}, .absent = "auto"}),
      row<&S::fixed_delay, &FixedDelayConfig::attempts>(
          Section::restart, "restart-strategy.fixed-delay.attempts", "unlimited",
          "How often the job starts again.", {.absent = "unlimited"}),
      row<&S::fixed_delay, &FixedDelayConfig::delay>(Section::restart,
                                                     "restart-strategy.fixed-delay.delay", "1 s",
                                                     "Time from a failure to the restart."),
      row<&S::exponential_delay, &ExponentialDelayConfig::initial>(
          Section::restart, "restart-strategy.exponential-delay.initial-backoff", "1 s",
          "Time from the first failure to the restart.", {.least = 1}),
      row<&S::exponential_delay, &ExponentialDelayConfig::max>(
          Section::restart, "restart-strategy.exponential-delay.max-backoff", "60 s",
          "Longest time from a failure to the restart.", {.least = 1}),
      row<&S::exponential_delay, &ExponentialDelayConfig::multiplier>(
          Section::restart, "restart-strategy.exponential-delay.backoff-multiplier", "1.5",
          "Factor from one time to the next.", {.least = 1, .most = 1000}),
      row<&S::exponential_delay, &ExponentialDelayConfig::reset_threshold>(
          Section::restart, "restart-strategy.exponential-delay.reset-backoff-threshold", "1 h",
          "A job that ran this long without a failure begins with the initial time again."),
      row<&S::exponential_delay, &ExponentialDelayConfig::jitter>(
          Section::restart, "restart-strategy.exponential-delay.jitter-factor", "0.1",
          "Share of the time that is added or subtracted at random.", {.most = 1}),
      row<&S::exponential_delay, &ExponentialDelayConfig::attempts>(
          Section::restart, "restart-strategy.exponential-delay.attempts-before-reset-backoff",
          "unlimited", "How often the job starts again without such a run in between.",
          {.absent = "unlimited"}),
      row<&S::failure_rate, &FailureRateConfig::max_failures>(
          Section::restart, "restart-strategy.failure-rate.max-failures-per-interval", "1",
          "How many failures within the interval the job survives.", {.least = 1, .most = 1 << 20}),
      row<&S::failure_rate, &FailureRateConfig::interval>(
          Section::restart, "restart-strategy.failure-rate.failure-rate-interval", "1 min",
          "The interval in which failures are counted.", {.least = 1}),
      row<&S::failure_rate, &FailureRateConfig::delay>(Section::restart,
                                                       "restart-strategy.failure-rate.delay", "1 s",
                                                       "Time from a failure to the restart."),

      // Processes
      row<&S::process, &ProcessConfig::task_slots>(
          Section::processes, "taskmanager.numberOfTaskSlots", "auto",
          "How many parallel pipelines a TaskManager runs. `auto`: as many as the job needs.",
          {.least = 1, .most = max_key_groups, .absent = "auto"}),
      row<&S::process, &ProcessConfig::spread_out_slots>(
          Section::processes, "cluster.evenly-spread-out-slots", "false",
          "Deals a job's slots out to all TaskManagers in turn, also if one has room for the whole "
          "of it."),
      row<&S::process, &ProcessConfig::io_threads>(
          Section::processes, "cluster.io-pool.size", "4",
          "Threads of a process that write, read and delete snapshots.", {.least = 1, .most = 256}),
      row<&S::process, &ProcessConfig::heartbeat_interval>(
          Section::processes, "heartbeat.interval", "1 s",
          "Time from one heartbeat of a TaskManager, with its counters, to the next.",
          {.least = 1}),
      row<&S::process, &ProcessConfig::heartbeat_timeout>(
          Section::processes, "heartbeat.timeout", "50 s",
          "A TaskManager that was silent for so long is taken for dead.", {.least = 1}),
      row<&S::process, &ProcessConfig::client_timeout>(
          Section::processes, "client.timeout", "60 s",
          "How long a command waits for an answer; for a snapshot it waits until that is "
          "written or given up.",
          {.aliases = {"akka.client.timeout"}, .least = 1}),
      row<&S::directories, &DirectoryConfig::temporary>(Section::processes, "io.tmp.dirs", "",
                                                        "Directory of temporary files; one only.",
                                                        {.aliases = {"taskmanager.tmp.dirs"},
                                                         .unset = "`$TMPDIR`, else `/tmp`",
                                                         .directory = true}),
      row<&S::directories, &DirectoryConfig::logs>(
          Section::processes, "env.log.dir", "", "Directory of log files.",
          {.unset = "below `io.tmp.dirs`", .directory = true}),
  };
  return rows;
}

constexpr std::array<std::string_view, 6> section_titles = {
    "Execution",     "State and snapshots",     "RocksDB",
    "Checkpointing", "Restart after a failure", "Processes"};

/// The row that `key` names, as itself or as a deprecated name; null if none does.
const Row* find_row(std::string_view key) {
  for (const Row& row : table()) {
    if (row.key == key) return &row;
    const auto& aliases = row.options.aliases;
    if (!key.empty() && std::ranges::find(aliases, key) != aliases.end()) return &row;
  }
  return nullptr;
}

// ---- Reading values -----------------------------------------------------------------------------

struct Unit {
  std::string_view names;  ///< each between blanks
  double factor;
};
constexpr std::array duration_units = {
    Unit{" ms milli millis millisecond milliseconds ", 1},
    Unit{" s sec secs second seconds ", 1000},
    Unit{" min m minute minutes ", 60 * 1000},
    Unit{" h hour hours ", 3600 * 1000},
    Unit{" d day days ", 24 * 3600 * 1000},
};
constexpr std::array memory_units = {
    Unit{" b byte bytes ", 1},
    Unit{" kb k kib kibibytes ", 1024},
    Unit{" mb m mib mebibytes ", 1024.0 * 1024},
    Unit{" gb g gib gibibytes ", 1024.0 * 1024 * 1024},
    Unit{" tb t tib tebibytes ", 1024.0 * 1024 * 1024 * 1024},
};

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view blanks = " \t\r\n";
  const auto first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

std::string lowercase(std::string_view text) {
  std::string lower(text);
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return lower;
}

/// A decimal number that is all of `text`; no sign, no exponent, no infinity.
template <class T>
std::optional<T> parse_number(std::string_view text) {
  if (text.find_first_not_of("0123456789.") != std::string_view::npos) return std::nullopt;
  T value{};
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// A whole number with an optional unit, as in Flink: `10 min`, `500ms`, `64 mb`, `1g`, `1024`.
std::optional<double> parse_quantity(std::string_view text, std::span<const Unit> units) {
  const auto digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const auto number = parse_number<std::uint64_t>(text.substr(0, digits));
  if (!number) return std::nullopt;
  const std::string unit = lowercase(trimmed(text.substr(digits)));
  if (unit.empty()) return static_cast<double>(*number);
  if (unit.find(' ') != std::string::npos) return std::nullopt;
  for (const Unit& one : units)
    if (one.names.find(" " + unit + " ") != std::string_view::npos)
      return static_cast<double>(*number) * one.factor;
  return std::nullopt;
}

std::optional<double> parse_scalar(const Row& row, std::string_view text) {
  std::optional<double> value;
  if (row.kind == ValueKind::duration) {
    value = parse_quantity(text, duration_units);
  } else if (row.kind == ValueKind::memory) {
    value = parse_quantity(text, memory_units);
  } else if (row.kind == ValueKind::decimal) {
    value = parse_number<double>(text);
  } else if (const auto number = parse_number<std::uint64_t>(text)) {
    value = static_cast<double>(*number);
  }
  if (!value || *value < row.options.least || *value > row.most) return std::nullopt;
  return value;
}

std::string folded(std::string_view text) {
  std::string folded = lowercase(text);
  std::erase_if(folded, [](char c) { return c == '-' || c == '_'; });
  return folded;
}

bool has_control_characters(std::string_view text) {
  return std::ranges::any_of(
      text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

template <class T>
std::optional<T> parse(const Row& row, std::string_view text) {
  if constexpr (std::is_same_v<T, std::string>) {
    if (has_control_characters(text)) return std::nullopt;
    return std::string(text);
  } else if constexpr (std::is_enum_v<T> || std::is_same_v<T, bool>) {
    for (const Spelling& spelling : row.spellings)
      if (folded(spelling.text) == folded(text)) return static_cast<T>(spelling.value);
    return std::nullopt;
  } else {
    const auto value = parse_scalar(row, text);
    if (!value) return std::nullopt;
    if constexpr (std::is_same_v<T, milliseconds>)
      return milliseconds(static_cast<milliseconds::rep>(*value));
    else
      return static_cast<T>(*value);
  }
}

// ---- Telling people -----------------------------------------------------------------------------

/// `amount` in the largest of `units` that leaves a whole number.
std::string format_quantity(double amount, std::span<const Unit> units) {
  const auto whole = static_cast<std::uint64_t>(amount);
  const Unit* best = &units.front();
  for (const Unit& unit : units)
    if (whole > 0 && whole % static_cast<std::uint64_t>(unit.factor) == 0) best = &unit;
  const std::string_view name = best->names.substr(1, best->names.find(' ', 1) - 1);
  return std::to_string(whole / static_cast<std::uint64_t>(best->factor)) + " " + std::string(name);
}

std::string format_scalar(const Row& row, double value) {
  if (row.kind == ValueKind::duration) return format_quantity(value, duration_units);
  if (row.kind == ValueKind::memory) return format_quantity(value, memory_units);
  return std::to_string(static_cast<std::uint64_t>(value));
}

/// The range, such as `, 1 to 32768` or `, at least 1 ms`; empty if only the type bounds it.
std::string format_range(const Row& row) {
  if (row.options.most >= 0)
    return ", " + format_scalar(row, row.options.least) + " to " + format_scalar(row, row.most);
  if (row.options.least > 0) return ", at least " + format_scalar(row, row.options.least);
  return {};
}

/// Words as `a, b or c`, each between two `quote`.
std::string format_choices(std::span<const Spelling> spellings, std::string_view quote) {
  std::string text;
  for (std::size_t i = 0; i < spellings.size(); ++i) {
    if (i > 0) text += i + 1 == spellings.size() ? " or " : ", ";
    text.append(quote).append(spellings[i].text).append(quote);
  }
  return text;
}

std::string format_type(const Row& row, std::string_view quote) {
  std::string text;
  switch (row.kind) {
    case ValueKind::text:
      text = "text";
      break;
    case ValueKind::directory:
      text = "local directory";
      break;
    case ValueKind::integer:
      text = "whole number";
      break;
    case ValueKind::decimal:
      text = "number";
      break;
    case ValueKind::duration:
      text = "duration";
      break;
    case ValueKind::memory:
      text = "memory size";
      break;
    case ValueKind::choice:
      text = format_choices(row.spellings, quote);
      break;
  }
  text += format_range(row);
  if (!row.options.absent.empty())
    text.append(", or ").append(quote).append(row.options.absent).append(quote);
  return text;
}

/// What to write instead of a value that does not fit, as the end of a sentence.
std::string expected(const Row& row, std::string_view text) {
  std::string sentence = "expected is ";
  if (row.kind == ValueKind::choice) {
    std::vector<std::string_view> words;
    for (const Spelling& spelling : row.spellings) words.push_back(spelling.text);
    if (!row.options.absent.empty()) words.push_back(row.options.absent);
    return sentence + format_type(row, "") + did_you_mean(text, words);
  }
  sentence += "a " + format_type(row, "");
  if (row.kind == ValueKind::duration)
    sentence += " (in ms, s, min, h or d, such as 500 ms or 5 min)";
  if (row.kind == ValueKind::memory) sentence += " (in b, kb, mb, gb or tb, such as 64 kb or 1 gb)";
  if (row.kind == ValueKind::directory) sentence += " on one line, such as /var/lib/weir";
  if (row.kind == ValueKind::text) sentence += " of one line";
  return sentence;
}

/// The sentence about a value that does not fit.
std::string refusal(const Row& row, std::string_view key, std::string_view text,
                    std::string_view origin) {
  return std::string(origin) + ": '" + std::string(text) + "' is no value for " + std::string(key) +
         "; " + expected(row, text);
}

/// `key` as a setting, with the place where it stands, for sentences about several settings.
std::string shown(std::string_view key, std::string_view text, std::string_view origin) {
  std::string sentence = std::string(key) + " = " + std::string(text);
  return sentence + (origin.empty() ? " (the default)" : " (" + std::string(origin) + ")");
}

}  // namespace

// ---- Configuration ------------------------------------------------------------------------------

Configuration::Configuration() {
  for (const Row& row : table()) {
    const bool fits = row.assign(row, row.default_text, settings_);
    WEIR_ASSERT(fits);
  }
}

Status Configuration::set(std::string_view key, std::string_view text, std::string_view origin) {
  const auto canonical = canonical_key(key);
  if (!canonical)
    return error(canonical.error().code, std::string(origin) + ": " + canonical.error().what);
  const Row& row = *find_row(*canonical);
  const std::string_view value = trimmed(text);
  if (!row.assign(row, value, settings_))
    return error(Errc::invalid_argument, refusal(row, key, value, origin));
  entries_.insert_or_assign(std::string(row.key), Entry{std::string(value), std::string(origin)});
  return {};
}

void Configuration::merge(const Configuration& later) {
  for (const auto& [key, entry] : later.entries_) {
    const Row& row = *find_row(key);
    const bool fits = row.assign(row, entry.text, settings_);
    WEIR_ASSERT(fits);
    entries_.insert_or_assign(key, entry);
  }
}

Status Configuration::resolve_directories(const DirectoryResolver& resolve) {
  for (auto& [key, entry] : entries_) {
    const Row& row = *find_row(key);
    if (row.kind != ValueKind::directory || entry.text.empty()) continue;
    auto path = resolve(entry.text);
    if (!path)
      return error(Errc::invalid_argument, entry.origin + ": " + key + ": " + path.error().what);
    if (!row.assign(row, *path, settings_))
      return error(Errc::invalid_argument, refusal(row, key, *path, entry.origin));
    entry.text = std::move(*path);
  }
  return {};
}

Status Configuration::check() const { return check_pairs(nullptr); }

Status Configuration::check_before_job(const Configuration& last) const {
  return check_pairs(&last);
}

Status Configuration::check_pairs(const Configuration* last) const {
  const auto is_certain = [&](std::string_view a, std::string_view b) {
    return last == nullptr || (last->is_set(a) && last->is_set(b));
  };
  const auto setting = [&](std::string_view key) {
    const auto entry = entries_.find(key);
    return entry == entries_.end() ? shown(key, find_row(key)->default_text, "")
                                   : shown(key, entry->second.text, entry->second.origin);
  };
  const auto disagree = [&](std::string_view key, std::string_view relation, std::string_view other,
                            std::string_view mend) {
    return error(Errc::invalid_argument, setting(key) + " " + std::string(relation) + " " +
                                             setting(other) + "; " + std::string(mend));
  };
  if (settings_.directories.temporary.contains(','))
    return error(Errc::invalid_argument,
                 setting("io.tmp.dirs") + " names several directories; name one, without a comma");
  const ExecutionConfig& execution = settings_.execution;
  if (is_certain("parallelism.default", "pipeline.max-parallelism") && execution.max_parallelism &&
      *execution.max_parallelism < execution.parallelism)
    return disagree("parallelism.default", "is above", "pipeline.max-parallelism",
                    "lower the first or raise the second");
  if (settings_.process.heartbeat_timeout <= settings_.process.heartbeat_interval)
    return disagree("heartbeat.timeout", "is not above", "heartbeat.interval",
                    "raise the first to several times the second");
  const ExponentialDelayConfig& backoff = settings_.exponential_delay;
  constexpr std::string_view initial = "restart-strategy.exponential-delay.initial-backoff";
  constexpr std::string_view max = "restart-strategy.exponential-delay.max-backoff";
  if (is_certain(initial, max) && backoff.initial > backoff.max)
    return disagree(initial, "is above", max, "lower the first or raise the second");
  // A job may set the directory.
  if (last == nullptr &&
      settings_.checkpoints.retention != CheckpointRetention::no_externalized_checkpoints &&
      settings_.directories.checkpoints.empty())
    return error(Errc::invalid_argument,
                 setting("execution.checkpointing.externalized-checkpoint-retention") +
                     " needs a directory in which checkpoints can stay; set state.checkpoints.dir");
  return {};
}

bool Configuration::is_set(std::string_view key) const { return entries_.contains(key); }

std::map<std::string, std::string> Configuration::as_map() const {
  std::map<std::string, std::string> settings;
  for (const auto& [key, entry] : entries_) settings.emplace(key, entry.text);
  return settings;
}

Result<Configuration> Configuration::from_map(const std::map<std::string, std::string>& settings,
                                              std::string_view origin) {
  Configuration configuration;
  for (const auto& [key, text] : settings) WEIR_TRY(configuration.set(key, text, origin));
  return configuration;
}

CheckpointConfig Configuration::checkpoint_config() const {
  CheckpointConfig config = settings_.checkpoints;
  if (config.interval) config.interval = std::max(*config.interval, config.min_pause);
  return config;
}

RestartStrategyConfig Configuration::restart_strategy() const {
  const RestartKind by_default =
      settings_.checkpoints.interval ? RestartKind::exponential_delay : RestartKind::none;
  switch (settings_.restart.value_or(by_default)) {
    case RestartKind::fixed_delay:
      return settings_.fixed_delay;
    case RestartKind::exponential_delay:
      return settings_.exponential_delay;
    case RestartKind::failure_rate:
      return settings_.failure_rate;
    case RestartKind::none:
      break;
  }
  return NoRestartConfig{};
}

// ---- The table, for others ----------------------------------------------------------------------

Result<std::string_view> canonical_key(std::string_view key) {
  if (const Row* row = find_row(key)) return row->key;
  std::vector<std::string_view> names = configuration_keys();
  for (const Row& row : table())
    for (const std::string_view alias : row.options.aliases)
      if (!alias.empty()) names.push_back(alias);
  return error(Errc::invalid_argument,
               "'" + std::string(key) + "' is no configuration key" +
                   did_you_mean(key, names, "docs/configuration.md lists the keys"));
}

bool is_process_key(std::string_view key) {
  const Row* row = find_row(key);
  return row != nullptr && row->section == Section::processes;
}

std::vector<std::string_view> configuration_keys() {
  std::vector<std::string_view> keys;
  for (const Row& row : table()) keys.push_back(row.key);
  return keys;
}

std::string configuration_reference() {
  std::string text =
      "# Configuration\n\n"
      "<!-- Made from the table in runtime/configuration.cpp; change it there. -->\n\n"
      "Settings come from `weir.yaml` (`--config FILE`, else the one in `$WEIR_CONF_DIR`, else the "
      "one in the working\n"
      "directory), then from the job itself, then from `-D key=value`; later ones win. In "
      "`weir.yaml` a key may be\n"
      "written flat (`state.backend: rocksdb`) or nested. Keys are Flink's wherever Flink has one, "
      "and its older and\n"
      "newer names are accepted too. An unknown key or a bad value is an error, and nothing starts."
      "\n\n"
      "- A **duration** is a whole number and a unit: `ms`, `s`, `min`, `h` or `d`; without a "
      "unit, "
      "milliseconds.\n"
      "- A **memory size** is a whole number and a unit: `b`, `kb`, `mb`, `gb` or `tb`, each 1024 "
      "of "
      "the one before;\n"
      "  without a unit, bytes.\n"
      "- A **local directory** may be relative to the working directory, and may begin with "
      "`file://`.\n"
      "- Words are read without regard to case, `-` and `_`.\n";
  std::optional<Section> section;
  for (const Row& row : table()) {
    if (section != row.section) {
      section = row.section;
      text.append("\n## ").append(section_titles[static_cast<std::size_t>(row.section)]);
      if (section == Section::processes)
        text += "\n\nA job cannot set these itself; they stand in `weir.yaml` or behind `-D`.";
      text += "\n\n| key | default | type | meaning |\n| --- | --- | --- | --- |\n";
    }
    text.append("| `").append(row.key).append("` | ");
    if (row.default_text.empty())
      text.append("not set: ").append(row.options.unset);
    else
      text.append("`").append(row.default_text).append("`");
    text.append(" | ").append(format_type(row, "`")).append(" | ").append(row.description);
    std::string_view before = " Also: ";
    for (const std::string_view alias : row.options.aliases) {
      if (alias.empty()) continue;
      text.append(before).append("`").append(alias).append("`");
      before = ", ";
    }
    if (!row.options.aliases.front().empty()) text += ".";
    text += " |\n";
  }
  return text;
}

}  // namespace weir
