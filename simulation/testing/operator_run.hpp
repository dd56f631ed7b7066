#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/stream_environment.hpp"
#include "runtime/batch.hpp"
#include "runtime/events.hpp"

namespace weir::testing {

/// Operators of a job, in one thread and without a cluster: the `StreamTask`s, operator chains and backends that
/// production runs, between inputs that a test fills and an output that it reads. What `OperatorHarness` is made of, which
/// adds the types.
/// Threads: one.
class OperatorRun {
 public:
  /// Puts the job together: sources with the uids of `input_uid`, of parallelism 1 and without code, and one sink with
  /// that of `output_uid`, likewise; each on the other side of an exchange.
  using Build = std::function<void(StreamEnvironment&)>;
  [[nodiscard]] static std::string input_uid(std::size_t input) {
    return "input " + std::to_string(input + 1);
  }
  static constexpr const char* output_uid = "output";

  OperatorRun(Build build, std::size_t inputs);
  ~OperatorRun();
  OperatorRun(const OperatorRun&) = delete;
  OperatorRun& operator=(const OperatorRun&) = delete;

  // Before anything else.
  void configure(const std::string& key, const std::string& value);
  void restore_after_every_record() { restores_ = true; }

  /// How many runs have a database open, and whether there was one before.
  [[nodiscard]] static std::size_t open_databases();
  [[nodiscard]] static bool had_databases();

  // What enters. Inputs count from 0. Each returns when all has come to rest.
  void push(std::size_t input, std::unique_ptr<AnyBatch> batch);
  void advance_watermark(std::size_t input, EventTime time);
  void advance_processing_time(std::chrono::milliseconds by);
  void end_input();

  // What has come out.
  [[nodiscard]] std::vector<std::unique_ptr<AnyBatch>> take_output();
  [[nodiscard]] EventTime output_watermark() const { return output_watermark_; }
  /// On the wall clock, milliseconds since 1970.
  [[nodiscard]] std::int64_t processing_time() const;

  // State.
  class Snapshot;
  [[nodiscard]] std::shared_ptr<const Snapshot> snapshot();
  void restore(const std::shared_ptr<const Snapshot>& snapshot);
  /// JSON of all keys, or of one, or of all elements of operator state.
  [[nodiscard]] std::string state(const std::string& name, const std::optional<std::string>& key);

 private:
  class HarnessClock;
  struct Store;
  struct Attempt;

  [[nodiscard]] Attempt& attempt();
  void start(const Snapshot* snapshot);
  void stop();
  void settle();
  void after_record();

  const Build build_;
  const std::size_t inputs_;
  std::map<std::string, std::string> settings_;
  bool restores_ = false;
  bool ended_ = false;
  std::vector<EventTime> watermarks_;  ///< of each input
  std::unique_ptr<HarnessClock> clock_;
  std::shared_ptr<Store> store_;  ///< where snapshots lie; null until something happens
  std::unique_ptr<Attempt> attempt_;
  std::vector<std::unique_ptr<AnyBatch>> output_;
  EventTime output_watermark_ = no_event_time;
};

}  // namespace weir::testing
