#pragma once

#include <algorithm>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "actors/state_assignment.hpp"
#include "api/stream_environment.hpp"
#include "backends/fs/fs_state_backend.hpp"
#include "backends/rocksdb/rocksdb_state_backend.hpp"
#include "test/runtime/task_harness.hpp"

namespace weir::test {

/// What the operators under test take: `number` differs in all records of a test.
struct Entry {
  std::string key;
  long number = 0;
};
WEIR_FIELDS(Entry, key, number)

/// Applies the operator under test.
using Build = std::function<DataStream<std::string>(const DataStream<Entry>&)>;
/// Makes the outputs of runs at different parallelism comparable.
using Summary = std::function<Lines(Lines)>;

inline Lines sorted(Lines lines) {
  std::ranges::sort(lines);
  return lines;
}

/// The subtasks of one operator between two producers and one consumer, in one attempt of a job.
class Attempt {
 public:
  static constexpr std::size_t producers = 2;

  Attempt(TaskWorld& world, const Build& build, std::uint32_t parallelism,
          const SnapshotMetadata* snapshot = nullptr)
      : world_(world) {
    StreamEnvironment env({}, parallelism, "/home/job");
    env.set_max_parallelism(16);
    auto source =
        env.add_source<Entry>("source", [] { return std::unique_ptr<Operator>(); }).uid("source");
    source.set_parallelism(producers);
    build(source.rebalance())
        .uid("op")
        .rebalance()
        .add_sink("sink", false, [] { return std::unique_ptr<Operator>(); })
        .uid("sink")
        .set_parallelism(1);
    auto plan = env.build();
    if (!plan) FAIL(plan.error().what);
    plan_ = std::make_shared<const Plan>(std::move(*plan));
    description_ = plan_->describe();
    std::optional<StateAssignment> assignment;
    if (snapshot != nullptr) {
      auto assigned =
          assign_state(*snapshot, barrier_of(snapshot->checkpoint.value).options.directory,
                       description_, build_job_graph(description_), false);
      if (!assigned) FAIL(assigned.error().what);
      assignment = std::move(*assigned);
    }
    for (std::uint32_t i = 0; i < parallelism; ++i) {
      tasks.push_back(std::make_unique<TaskUnderTest>(
          world, plan_, 1, i, assignment ? std::optional(assignment->tasks[1][i]) : std::nullopt,
          description_));
      settle(*tasks.back());
      REQUIRE(tasks.back()->listener->last() == "running");
    }
    for (std::uint32_t p = 0; p < producers; ++p) {
      for (std::size_t e = 0; plan_->edges[e].description.producer == 0; ++e) {
        std::vector<std::shared_ptr<Channel>> channels;
        for (const auto& task : tasks) channels.push_back(task->inputs[e * producers + p]);
        writers_[p].push_back(plan_->edges[e].make_writer(std::move(channels), p, 16));
      }
    }
  }
  ~Attempt() {
    for (const auto& task : tasks) task->task->cancel();
    for (const auto& task : tasks)
      if (!is_terminal_) (void)task->task->step();
  }

  /// Lets producer `number % 2` emit one record, with an event time, on every edge from the source, and
  /// takes what comes out.
  void feed(const Entry& record) {
    for (const auto& writer : writers_[static_cast<std::size_t>(record.number) % producers]) {
      auto batch = std::make_unique<Batch<Entry>>();
      batch->add(record);
      batch->times.push_back(1000 + record.number);
      std::unique_ptr<AnyBatch> any = std::move(batch);
      writer->write(any);
      writer->flush();
    }
    settle_all();
  }
  [[nodiscard]] SnapshotMetadata checkpoint(std::uint64_t id,
                                            SnapshotForm form = SnapshotForm::canonical) {
    CheckpointBarrier barrier = barrier_of(id);
    barrier.options.form = form;
    broadcast(barrier);
    settle_all();
    world_.io.run_all();
    SnapshotMetadata metadata;
    metadata.checkpoint = {id};
    for (const auto& task : tasks) {
      REQUIRE(task->listener->last() == "acknowledge " + std::to_string(id));
      TaskSnapshot snapshot = std::move(task->listener->snapshots[{id}]);
      const auto first = static_cast<std::uint32_t>(metadata.locations.size());
      std::ranges::move(snapshot.locations, std::back_inserter(metadata.locations));
      for (OperatorShare& share : snapshot.operators) {
        for (auto& handle : share.snapshot.keyed) handle.location += first;
        for (auto& handle : share.snapshot.operator_states) handle.location += first;
        auto known = std::ranges::find(metadata.operators, share.uid, &OperatorSnapshot::uid);
        if (known == metadata.operators.end())
          known = metadata.operators.insert(
              known, {.uid = share.uid,
                      .parallelism = static_cast<std::uint32_t>(tasks.size()),
                      .max_parallelism = 16,
                      .states = share.states});
        known->subtasks.push_back(std::move(share.snapshot));
      }
    }
    const Status consistent = check_consistent(metadata);
    if (!consistent) FAIL(consistent.error().what);
    return metadata;
  }
  void end_input() {
    advance_watermark(Watermark::max_time);
    broadcast(EndOfInput{});
    settle_all();
  }
  void advance_watermark(EventTime time) {
    broadcast(Watermark{time});
    settle_all();
  }

  Lines output;  ///< records of all subtasks
  std::vector<std::unique_ptr<TaskUnderTest>> tasks;

 private:
  void broadcast(const auto& event) {
    for (const auto& producer : writers_)
      for (const auto& writer : producer) writer->broadcast(event);
  }
  void settle(TaskUnderTest& task) {
    if (task.settle() == StepResult::finished) {
      is_terminal_ = true;
      FAIL(task.listener->failure.what);
    }
  }
  void settle_all() {
    for (const auto& task : tasks) {
      settle(*task);
      for (auto& line : take<std::string>(*task->outputs[0]))
        if (!line.starts_with("barrier ") && !line.starts_with("watermark ") &&
            line != "end of input")
          output.push_back(std::move(line));
    }
  }

  TaskWorld& world_;
  std::shared_ptr<const Plan> plan_;
  PlanDescription description_;
  std::vector<std::unique_ptr<ExchangeWriter>> writers_[producers];  ///< by edge
  bool is_terminal_ = false;
};

/// Twelve records of four keys over both producers.
inline std::vector<Entry> test_records() {
  std::vector<Entry> records;
  for (long i = 0; i < 12; ++i) records.push_back({std::string(1, "abcd"[i * 5 % 4]), i});
  return records;
}

using MakeBackend = std::function<std::shared_ptr<StateBackend>()>;
inline std::vector<std::pair<std::string, MakeBackend>> all_backends() {
  const auto budget = std::make_shared<MemoryBudget>();
  const NativeStatesFactory native = RocksDBStateBackend::file_reader();
  return {{"memory",
           [=] { return std::make_shared<MemoryStateBackend>(5 << 20, 16 << 20, budget, native); }},
          {"fs", [=] { return std::make_shared<FsStateBackend>(0, budget, native); }},
          {"rocksdb", [] { return std::make_shared<RocksDBStateBackend>(); }}};
}

/// Checks that an operator yields the same however often, wherever and at whatever parallelism it is
/// restored: once after each record in a run of its own, and after every record of one run.
inline void check_restores(const Build& build, const Summary& summary = sorted) {
  const auto records = test_records();
  Lines expected;
  {
    TaskWorld world;
    Attempt whole(world, build, 1);
    for (const Entry& record : records) whole.feed(record);
    whole.end_input();
    expected = summary(whole.output);
    REQUIRE_FALSE(expected.empty());
  }
  for (const auto& [name, make] : all_backends()) {
    for (const std::uint32_t p : {1U, 2U}) {
      for (const std::uint32_t q : {1U, 2U}) {
        TaskWorld world;
        world.backend = make();
        for (std::size_t cut = 0; cut <= records.size(); ++cut) {
          INFO(name << " at " << p << " restored after record " << cut << " at " << q);
          Attempt before(world, build, p);
          for (std::size_t i = 0; i < cut; ++i) before.feed(records[i]);
          const SnapshotMetadata snapshot = before.checkpoint(1);
          Lines output = before.output;
          if (cut < records.size()) before.feed(records[cut]);  // lost in the failure
          Attempt after(world, build, q, &snapshot);
          for (std::size_t i = cut; i < records.size(); ++i) after.feed(records[i]);
          after.end_input();
          output.insert(output.end(), after.output.begin(), after.output.end());
          CHECK(summary(output) == expected);
          if (name == "rocksdb") cut += 5;  // its databases take their time
        }
      }
    }
  }
  // From backend to backend, between one and three subtasks.
  TaskWorld world;
  std::optional<SnapshotMetadata> snapshot;
  Lines output;
  for (std::size_t i = 0; i <= records.size(); ++i) {
    INFO("every record, now " << i);
    world.backend = all_backends()[i % 3].second();
    Attempt attempt(world, build, static_cast<std::uint32_t>(i * 7 % 3 + 1),
                    snapshot ? &*snapshot : nullptr);
    if (i < records.size()) {
      attempt.feed(records[i]);
      snapshot = attempt.checkpoint(i + 1);
    } else {
      attempt.end_input();
    }
    output.insert(output.end(), attempt.output.begin(), attempt.output.end());
  }
  CHECK(summary(output) == expected);
}

}  // namespace weir::test
