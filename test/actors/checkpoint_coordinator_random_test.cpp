#include <algorithm>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "test/actors/coordinator_bench.hpp"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

/// Plays a job with random events and checks after each what must always hold.
class RandomJob {
 public:
  explicit RandomJob(std::uint32_t seed) : random_(seed), bench_(config()) {
    bench_.creates_directories = bench_.writes_metadata = false;
    bench_.start();
  }

  void play(int steps) {
    for (int i = 0; i < steps && !over_; ++i) {
      step();
      observe();
    }
    settle();
    if (!over_) {
      bench_.job(JobState::failed);
      observe();
      settle();
    }
    CHECK(bench_.coordinator.counts().in_progress.empty());
    CHECK(answered_.size() == next_request_ - 1);
    CHECK(bench_.coordinator.settled());
  }

 private:
  CheckpointConfig config() {
    auto config = every(milliseconds(pick(3) * 500 + 500));
    config.max_concurrent = pick(3) + 1;
    config.num_retained = pick(2) + 1;
    config.min_pause = milliseconds(pick(2) * 700);
    config.timeout = 20s;
    if (pick(2) == 0) config.tolerable_failed = pick(3);
    return config;
  }
  std::uint32_t pick(std::uint32_t count) { return static_cast<std::uint32_t>(random_() % count); }

  void step() {
    switch (pick(14)) {
      case 0:
        return bench_.request_checkpoint(next_request_++);
      case 1:
        return bench_.savepoint(next_request_++);
      case 2:
        return pick(8) == 0 ? bench_.stop(next_request_++, pick(2) == 0) : bench_.advance(100ms);
      case 3:
        return pick(8) == 0 ? bench_.cancel(next_request_++) : bench_.advance(100ms);
      case 4:
        return bench_.advance(milliseconds(pick(3000)));
      case 5:
        return pick(10) == 0 ? restart() : bench_.advance(10ms);
      case 6:
        return pick(20) == 0 ? bench_.set_all(TaskState::finishing) : bench_.advance(10ms);
      case 7:
        return pick(4) == 0 && newest_ > 0 ? bench_.decline(any_task(), any_id()) : void();
      case 8:
        return bench_.advance(pick(10) == 0 ? 10s : 1ms);
      case 9:
        return answer_io();
      case 10:
        return answer_io();
      default:
        return acknowledge();
    }
  }
  ExecutionId any_task() { return bench_.tasks()[pick(4)]; }
  std::uint64_t any_id() {
    return newest_ - pick(static_cast<std::uint32_t>(std::min<std::uint64_t>(newest_, 3)));
  }
  void acknowledge() {
    if (newest_ == 0) return;
    const auto id = any_id();
    if (pick(2) == 0)
      bench_.acknowledge(any_task(), id);
    else
      bench_.acknowledge_all(id);
  }
  /// Answers one open file operation, not always the oldest.
  void answer_io() {
    if (open_.empty()) return;
    const auto place = open_.begin() + pick(static_cast<std::uint32_t>(open_.size()));
    const Effect effect = *place;
    open_.erase(place);
    if (const auto* create = std::get_if<CreateDirectory>(&effect)) {
      const auto id = create->checkpoint.value;
      if (pick(10) == 0) return bench_.created(id, error(Errc::io_error, "disk full"));
      return bench_.created(
          id, create->path +
                  (create->kind == SnapshotKind::checkpoint ? "" : "/" + std::to_string(id)));
    }
    if (const auto* write = std::get_if<WriteMetadata>(&effect)) {
      const auto outcome = pick(5) == 0 ? WriteOutcome(1 + pick(2)) : WriteOutcome::durable;
      if (outcome == WriteOutcome::durable) durable_.insert(write->checkpoint.value);
      return bench_.written(write->checkpoint.value, outcome);
    }
    const auto id = std::get<RemoveMetadata>(effect).checkpoint.value;
    bench_.written(id, pick(3) == 0 ? WriteOutcome::unknown : WriteOutcome::failed);
  }
  void settle() {
    for (int i = 0; i < 1000 && (!open_.empty() || !bench_.coordinator.settled()); ++i) {
      answer_io();
      bench_.advance(100ms);
      observe();
    }
  }
  void restart() {
    bench_.job(JobState::failing);
    observe();
    settle();
    if (bench_.coordinator.terminal_savepoint()) {
      bench_.job(JobState::failed);
      over_ = true;
      return;
    }
    restored_ = bench_.coordinator.restore_point() != nullptr
                    ? bench_.coordinator.restore_point()->metadata->checkpoint.value
                    : 0;
    CHECK(restored_ >= announced_);
    bench_.start(++attempt_);
  }

  void observe() {
    const auto effects = std::exchange(bench_.effects, {});
    bool ends = false;
    for (const auto& effect : effects) {
      if (const auto* trigger = std::get_if<TriggerCheckpoint>(&effect)) {
        CHECK(trigger->fence.attempt == attempt_);
        CHECK_FALSE(bench_.coordinator.terminal_savepoint());
        newest_ = std::max(newest_, trigger->checkpoint.value);
      } else if (const auto* notice = std::get_if<NotifyCheckpointComplete>(&effect)) {
        CHECK(durable_.contains(notice->checkpoint.value));
        if (notice->kind != SnapshotKind::savepoint) {
          CHECK(notice->checkpoint.value >= announced_);
          announced_ = notice->checkpoint.value;
        }
        ends = ends || notice->ends_task;
      } else if (const auto* deletion = std::get_if<DeleteSnapshot>(&effect)) {
        const auto* point = bench_.coordinator.restore_point();
        if (point != nullptr && !is_terminal(ended_))
          CHECK(deletion->directory != point->directory);
      } else if (const auto* answer = std::get_if<AnswerRequest>(&effect)) {
        CHECK(answered_.insert(answer->request).second);
      } else if (std::holds_alternative<CreateDirectory>(effect) ||
                 std::holds_alternative<WriteMetadata>(effect) ||
                 std::holds_alternative<RemoveMetadata>(effect)) {
        open_.push_back(effect);
      } else if (std::holds_alternative<FailJob>(effect)) {
        fail_ = true;
      }
    }
    if (ends && !over_) {
      for (const auto& task : bench_.tasks()) bench_.set(task, TaskState::finished);
      const auto& terminal = bench_.coordinator.terminal_savepoint();
      ended_ = terminal ? terminal->ends_as : JobState::finished;
      over_ = true;
      bench_.job(ended_);
      observe();
    } else if (std::exchange(fail_, false) && !over_) {
      restart();
      observe();
    }
  }

  std::mt19937 random_;
  Bench bench_;
  std::vector<Effect> open_;
  std::set<std::uint64_t> durable_;
  std::set<RequestId> answered_;
  RequestId next_request_ = 1;
  std::uint64_t newest_ = 0;
  std::uint64_t announced_ = 0;
  std::uint64_t restored_ = 0;
  std::uint32_t attempt_ = 0;
  JobState ended_ = JobState::running;
  bool over_ = false;
  bool fail_ = false;
};

SCENARIO(
    "whatever the order of events, every client is answered once and no recovery point is lost",
    "[actors]") {
  for (std::uint32_t seed = 1; seed <= 2000; ++seed) {
    CAPTURE(seed);
    RandomJob(seed).play(300);
  }
}

}  // namespace
}  // namespace weir::test
