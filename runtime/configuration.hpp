#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "runtime/checkpoint_config.hpp"
#include "state/result.hpp"

namespace weir {

/// Where working state is kept and snapshots go to.
enum class StateBackendKind : std::uint8_t { jobmanager, filesystem, rocksdb };

/// What a state backend needs to know. Directories here and below are empty if not set.
struct StateBackendConfig {
  StateBackendKind kind = StateBackendKind::jobmanager;
  std::uint64_t inline_threshold_bytes =
      0;  ///< smaller shares go into `_metadata`, not into a file
  std::optional<std::uint64_t>
      heap_bytes;                          ///< of all state in tables of a process; none: unlimited
  std::string rocksdb_directory;           ///< of the working databases; empty: the temporary one
  std::uint64_t rocksdb_memory_bytes = 0;  ///< tables and block cache of the process
  double rocksdb_table_ratio = 0;          ///< share of it that tables may take, 0 to 1
  bool operator==(const StateBackendConfig&) const = default;
};

/// Directories of jobs and processes; absolute once `resolve_directories` was called.
struct DirectoryConfig {
  std::string checkpoints;
  std::string savepoints;
  std::string temporary;
  std::string logs;
  bool operator==(const DirectoryConfig&) const = default;
};

/// How a job is run.
struct ExecutionConfig {
  std::string job_name;  ///< empty: the name in `WEIR_JOB`
  std::uint32_t parallelism = 1;
  std::optional<std::uint32_t> max_parallelism;       ///< none: `default_max_parallelism`
  std::chrono::milliseconds buffer_timeout{0};        ///< 0: a batch leaves with its first record
  std::uint64_t channel_bytes = 0;                    ///< bound of one channel's queue
  std::chrono::milliseconds cancellation_timeout{0};  ///< 0: waits for ever
  bool operator==(const ExecutionConfig&) const = default;
};

/// How the processes of a cluster work and talk to each other.
struct ProcessConfig {
  std::optional<std::uint32_t> task_slots;  ///< none: as many as the job needs
  bool spread_out_slots = false;
  std::uint32_t io_threads = 1;
  std::chrono::milliseconds heartbeat_interval{0};
  std::chrono::milliseconds heartbeat_timeout{0};
  std::chrono::milliseconds client_timeout{0};
  bool operator==(const ProcessConfig&) const = default;
};

/// `restart-strategy: none`. The job fails with its first failure.
struct NoRestartConfig {
  bool operator==(const NoRestartConfig&) const = default;
};
/// `restart-strategy: fixed-delay`.
struct FixedDelayConfig {
  std::optional<std::uint32_t> attempts;  ///< none: unlimited
  std::chrono::milliseconds delay{0};
  bool operator==(const FixedDelayConfig&) const = default;
};
/// `restart-strategy: exponential-delay`.
struct ExponentialDelayConfig {
  std::chrono::milliseconds initial{0};
  std::chrono::milliseconds max{0};
  double multiplier = 1;
  std::chrono::milliseconds reset_threshold{
      0};                                 ///< time without a failure after which it starts anew
  double jitter = 0;                      ///< share of the delay drawn in both directions, 0 to 1
  std::optional<std::uint32_t> attempts;  ///< since the last such time; none: unlimited
  bool operator==(const ExponentialDelayConfig&) const = default;
};
/// `restart-strategy: failure-rate`.
struct FailureRateConfig {
  std::uint32_t max_failures = 1;  ///< borne within `interval`; one more and the job fails
  std::chrono::milliseconds interval{0};
  std::chrono::milliseconds delay{0};
  bool operator==(const FailureRateConfig&) const = default;
};
/// Whether and when a failed job starts again.
using RestartStrategyConfig =
    std::variant<NoRestartConfig, FixedDelayConfig, ExponentialDelayConfig, FailureRateConfig>;

/// Makes an absolute path of a directory as a user wrote it: `parse_path` (storage/uri.hpp).
using DirectoryResolver = std::function<Result<std::string>(std::string_view text)>;

/// The settings of a job and of the processes that run it: what `weir.yaml`, the job and `-D` say,
/// laid over the defaults. The keys, with type, default and meaning, are one table in the .cpp
/// file; a new key is one row there and one field above. `docs/configuration.md` is made from the table.
///
///   Configuration configuration = *load_configuration(files, search);        // weir.yaml
///   configuration.merge(job_settings);                                        // later wins
///   WEIR_TRY(configuration.set("state.backend", "rocksdb", "-D"));
///   WEIR_TRY(configuration.resolve_directories(
///       [&](std::string_view text) { return parse_path(text, working_directory); }));
///   WEIR_TRY(configuration.check());
///   const CheckpointConfig checkpoints = configuration.checkpoint_config();
///
/// Threads: none of its own; a value.
class Configuration {
 public:
  /// The defaults.
  Configuration();

  /// Sets `key`, over what was set before; a deprecated name sets the key that replaced it.
  /// `origin` says where the setting stands, such as `weir.yaml:12:1`, `-D` or `job`, and begins
  /// every error. Errors: `invalid_argument`: an unknown key (with the nearest known one) or a value
  /// that does not fit (with what is expected). Nothing has changed then.
  [[nodiscard]] Status set(std::string_view key, std::string_view text, std::string_view origin);
  /// Sets everything that `later` has set.
  void merge(const Configuration& later);
  /// Replaces every directory that is set by what `resolve` makes of it: an absolute path.
  /// Errors: `invalid_argument` with place and key, if `resolve` refuses one.
  [[nodiscard]] Status resolve_directories(const DirectoryResolver& resolve);

  /// Whether the settings agree with each other; called when nothing more will be set.
  /// Errors: `invalid_argument`, naming the keys and how to mend them.
  [[nodiscard]] Status check() const;
  /// The same before there is a job, which may still set what is no setting of the process: of that only what
  /// `last`, which wins over the job, has set itself.
  [[nodiscard]] Status check_before_job(const Configuration& last) const;

  /// Whether `key` (no deprecated name) was set, rather than left at its default.
  [[nodiscard]] bool is_set(std::string_view key) const;
  /// Everything that was set, by key, as messages carry it.
  [[nodiscard]] std::map<std::string, std::string> as_map() const;
  /// The opposite of `as_map`. Errors: as `set`.
  [[nodiscard]] static Result<Configuration> from_map(
      const std::map<std::string, std::string>& settings, std::string_view origin);

  /// An interval shorter than the minimum pause is raised to it, as in Flink.
  [[nodiscard]] CheckpointConfig checkpoint_config() const;
  /// Unless set: none without periodic checkpoints, exponential-delay with them.
  [[nodiscard]] RestartStrategyConfig restart_strategy() const;
  [[nodiscard]] const StateBackendConfig& state_backend() const { return settings_.state; }
  [[nodiscard]] const DirectoryConfig& directories() const { return settings_.directories; }
  [[nodiscard]] const ExecutionConfig& execution() const { return settings_.execution; }
  [[nodiscard]] const ProcessConfig& process() const { return settings_.process; }

  enum class RestartKind : std::uint8_t { none, fixed_delay, exponential_delay, failure_rate };
  /// Every setting as a typed value: the fields that the rows of the table write to.
  struct Settings {
    StateBackendConfig state;
    CheckpointConfig checkpoints;
    DirectoryConfig directories;
    ExecutionConfig execution;
    ProcessConfig process;
    std::optional<RestartKind> restart;  ///< none: depends on `checkpoints.interval`
    FixedDelayConfig fixed_delay;
    ExponentialDelayConfig exponential_delay;
    FailureRateConfig failure_rate;
  };

 private:
  /// `last`: as in `check_before_job`; null: nothing more will be set.
  [[nodiscard]] Status check_pairs(const Configuration* last) const;

  struct Entry {
    std::string text;
    std::string origin;
  };
  std::map<std::string, Entry, std::less<>> entries_;  ///< what was set, by key
  Settings settings_;                                  ///< defaults, and `entries_` over them
};

/// The key that `key` names: itself, or the one that replaced it if it is a deprecated name.
/// Errors: `invalid_argument` with the nearest known key.
[[nodiscard]] Result<std::string_view> canonical_key(std::string_view key);

/// Whether `key`, which may be a deprecated name, is one of a process. A job cannot set it, because the
/// process is there before the job and may run others.
[[nodiscard]] bool is_process_key(std::string_view key);

/// All keys in the order of the documentation, without deprecated names: for shell completion.
[[nodiscard]] std::vector<std::string_view> configuration_keys();

/// `docs/configuration.md`.
[[nodiscard]] std::string configuration_reference();

}  // namespace weir
