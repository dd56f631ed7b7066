#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "api/stream_environment.hpp"
#include "test/runtime/task_harness.hpp"

namespace weir::test {

/// What a probe operator does, and a log of what was asked of it.
struct Script {
  Lines log;
  std::function<Status(OperatorContext&)> open;
  std::function<void(long, Collector<long>&)> on_record;  ///< null: passes the record on
  std::function<Progress(Collector<long>&)> before_barrier;
  std::function<Status()> snapshot_state;
  std::function<Progress(Collector<long>&)> on_end;
  std::function<Progress(Collector<long>&)> on_timer;
  OperatorContext* context = nullptr;
  std::vector<std::uint32_t> watermark_inputs;

  // Of a source.
  std::deque<long> values;
  bool ended = false;
  int polls = 0;
};

/// An operator of numbers that follows a script.
class Probe final : public Operator {
 public:
  Probe(std::string name, std::shared_ptr<Script> script)
      : name_(std::move(name)), script_(std::move(script)) {}
  Status open(OperatorContext& context) override {
    say("open");
    script_->context = &context;
    return script_->open ? script_->open(context) : Status{};
  }
  void on_batch(std::uint32_t, AnyBatch& any, Cursor& cursor) override {
    auto& batch = static_cast<Batch<long>&>(any);
    for_each_record(batch, cursor, output_.collector(), [&](std::size_t i) {
      if (script_->on_record)
        script_->on_record(batch.values[i], output_.collector());
      else
        output_.collector().collect(batch.values[i]);
    });
  }
  Progress on_watermark(std::uint32_t input, Watermark) override {
    script_->watermark_inputs.push_back(input);
    return Progress::done;
  }
  Progress on_timer(MonotonicTime) override { return call("timer", script_->on_timer); }
  Progress on_end(std::uint32_t input) override {
    return call("end " + std::to_string(input), script_->on_end);
  }
  Progress before_barrier(const CheckpointBarrier& barrier) override {
    return call("before_barrier " + std::to_string(barrier.id.value), script_->before_barrier);
  }
  Status snapshot_state(const CheckpointBarrier& barrier) override {
    say("snapshot_state " + std::to_string(barrier.id.value));
    return script_->snapshot_state ? script_->snapshot_state() : Status{};
  }
  Status notify_checkpoint_complete(CheckpointId id, SnapshotKind) override {
    say("complete " + std::to_string(id.value));
    return {};
  }
  Status notify_checkpoint_aborted(CheckpointId id) override {
    say("aborted " + std::to_string(id.value));
    return {};
  }
  std::vector<TaggedOutput> outputs() override { return {{"", &output_}}; }

 private:
  void say(const std::string& what) { script_->log.push_back(name_ + " " + what); }
  Progress call(const std::string& what, const std::function<Progress(Collector<long>&)>& hook) {
    say(what);
    return hook ? hook(output_.collector()) : Progress::done;
  }
  const std::string name_;
  const std::shared_ptr<Script> script_;
  Output<long> output_;
};

/// A source that emits the values of its script one at a time.
class ProbeSource final : public SourceOperator {
 public:
  explicit ProbeSource(std::shared_ptr<Script> script) : script_(std::move(script)) {}
  Status open(OperatorContext& context) override {
    script_->context = &context;
    return script_->open ? script_->open(context) : Status{};
  }
  PollResult poll() override {
    ++script_->polls;
    if (!script_->values.empty()) {
      output_.collector().collect(script_->values.front());
      script_->values.pop_front();
    }
    if (!script_->values.empty()) return PollResult::more;
    return script_->ended ? PollResult::end : PollResult::nothing_now;
  }
  Progress before_barrier(const CheckpointBarrier& barrier) override {
    script_->log.push_back("source before_barrier " + std::to_string(barrier.id.value));
    return script_->before_barrier ? script_->before_barrier(output_.collector()) : Progress::done;
  }
  Status snapshot_state(const CheckpointBarrier& barrier) override {
    script_->log.push_back("source snapshot_state " + std::to_string(barrier.id.value));
    return script_->snapshot_state ? script_->snapshot_state() : Status{};
  }
  Status notify_checkpoint_aborted(CheckpointId id) override {
    script_->log.push_back("source aborted " + std::to_string(id.value));
    return {};
  }
  std::vector<TaggedOutput> outputs() override { return {{"", &output_}}; }

 private:
  const std::shared_ptr<Script> script_;
  Output<long> output_;
};

/// The plan that `job` puts together.
inline std::shared_ptr<const Plan> plan_of(const std::function<void(StreamEnvironment&)>& job) {
  StreamEnvironment env({}, 1, "/home/job");
  job(env);
  auto plan = env.build();
  if (!plan) FAIL(plan.error().what);
  return std::make_shared<const Plan>(std::move(*plan));
}

inline DataStream<long> probe_source(StreamEnvironment& env, std::shared_ptr<Script> script) {
  return env.add_source<long>("source", [script] { return std::make_unique<ProbeSource>(script); });
}
inline DataStream<long> probe(const DataStream<long>& stream, const std::string& name,
                              std::shared_ptr<Script> script) {
  return stream.add<long>(name, [=] { return std::make_unique<Probe>(name, script); }, true);
}
/// Ends `stream` in a task of its own, whose place the test takes.
inline void drop(const DataStream<long>& stream) {
  stream.rebalance().collect(std::make_shared<Collected<long>>());
}

/// A plan whose vertex 0 is a source with `script`, and a chained probe "map" with `chained`.
inline std::shared_ptr<const Plan> source_plan(std::shared_ptr<Script> script,
                                               std::shared_ptr<Script> chained) {
  return plan_of(
      [&](StreamEnvironment& env) { drop(probe(probe_source(env, script), "map", chained)); });
}
/// A plan whose vertex 1 is the probe "head", fed by `producers` subtasks, and a chained probe "tail".
inline std::shared_ptr<const Plan> task_plan(std::shared_ptr<Script> head,
                                             std::shared_ptr<Script> tail,
                                             std::uint32_t producers = 1) {
  return plan_of([&](StreamEnvironment& env) {
    auto source = probe_source(env, std::make_shared<Script>());
    source.set_parallelism(producers);
    drop(probe(probe(source.rebalance(), "head", head).uid("head"), "tail", tail).uid("tail"));
  });
}

}  // namespace weir::test
