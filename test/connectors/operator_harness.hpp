#pragma once

#include <algorithm>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "runtime/operator.hpp"

namespace weir {

/// A clock that tests turn.
class ManualClock final : public Clock {
 public:
  MonotonicTime time{};
  WallTime wall{};
  MonotonicTime now() const override { return time; }
  WallTime wall_now() const override { return wall; }
};

/// Numbers that are all different.
class CountingRandom final : public Random {
 public:
  std::uint64_t next() override { return ++count_ * 0x9e3779b97f4a7c15; }

 private:
  std::uint64_t count_ = 0;
};

/// Standard input as the test arranges it, and what was printed.
class FakeStreams final : public StandardStreams {
 public:
  std::vector<std::string> arrivals;  ///< what each `take` finds; then nothing
  bool ended = false;                 ///< nothing follows `arrivals`
  std::vector<std::string> printed;   ///< by call
  bool broken = false;                ///< printing and reading fail
  bool taken = false;                 ///< standard input was read

  Status print(std::string_view text) override {
    if (broken) return error(Errc::io_error, "cannot print");
    printed.emplace_back(text);
    return {};
  }
  Result<std::unique_ptr<ByteFeed>> read_input(std::function<void()>) override {
    if (std::exchange(taken, true)) return error(Errc::already_exists, "read before");
    return std::make_unique<Feed>(*this);
  }

 private:
  class Feed : public ByteFeed {
   public:
    explicit Feed(FakeStreams& streams) : streams_(streams) {}
    Result<bool> take(std::string& into) override {
      if (streams_.broken) return error(Errc::io_error, "cannot read");
      if (streams_.arrivals.empty()) return !streams_.ended;
      into += streams_.arrivals.front();
      streams_.arrivals.erase(streams_.arrivals.begin());
      return !(streams_.arrivals.empty() && streams_.ended);
    }

   private:
    FakeStreams& streams_;
  };
  friend class Feed;
};

/// What the operators of one process share.
struct Surroundings {
  ManualClock clock;
  CountingRandom random;
  FakeStreams streams;
};

class FakeContext final : public OperatorContext {
 public:
  FakeContext(FileSystem& files, Surroundings& around, std::string uid, std::uint32_t subtask,
              std::uint32_t parallelism)
      : files_(files),
        around_(around),
        uid_(std::move(uid)),
        label_("operator '" + uid_ + "'"),
        subtask_(subtask),
        parallelism_(parallelism),
        state_(label_) {}

  bool restored = false;
  JobId job_id{0x0123456789abcdef, 1};
  std::vector<MonotonicTime> wake_times;
  std::vector<std::string> warnings;

  const std::string& uid() const override { return uid_; }
  const std::string& label() const override { return label_; }
  JobId job() const override { return job_id; }
  const std::string& job_name() const override { return job_name_; }
  std::uint32_t subtask() const override { return subtask_; }
  std::uint32_t parallelism() const override { return parallelism_; }
  std::uint32_t max_parallelism() const override { return 128; }
  bool is_restored() const override { return restored; }
  OperatorStateStore& operator_state() override { return state_; }
  Result<KeyedStateBackend*> keyed_state(std::size_t) override {
    return error(Errc::unsupported, "no keyed state here");
  }
  FileSystem& files() override { return files_; }
  const Clock& clock() const override { return around_.clock; }
  Random& random() override { return around_.random; }
  StandardStreams& standard_streams() override { return around_.streams; }
  void wake_at(MonotonicTime time) override { wake_times.push_back(time); }
  std::function<void()> waker() override {
    return [] {};
  }
  void warn(const std::string& text) override { warnings.push_back(text); }

 private:
  FileSystem& files_;
  Surroundings& around_;
  const std::string uid_;
  const std::string label_;
  const std::string job_name_ = "job";
  const std::uint32_t subtask_;
  const std::uint32_t parallelism_;
  OperatorStateStore state_;
};

/// The frozen operator state of all subtasks.
struct FrozenStates {
  struct Part {
    std::vector<StateDeclaration> declarations;
    std::vector<OperatorStateStore::Frozen> frozen;
  };
  std::vector<Part> subtasks;
};

inline FrozenStates::Part freeze(OperatorContext& context) {
  return {context.operator_state().declarations(), context.operator_state().freeze()};
}

/// What subtask `subtask` of `parallelism` gets of `snapshot`.
inline std::vector<OperatorStateStore::Restored> deal(const FrozenStates& snapshot,
                                                      std::uint32_t subtask,
                                                      std::uint32_t parallelism) {
  std::vector<OperatorStateStore::Restored> result;
  if (snapshot.subtasks.empty()) return result;
  for (const StateDeclaration& declaration : snapshot.subtasks.front().declarations) {
    OperatorStateStore::Restored state{declaration, {}, false};
    std::size_t count = 0;
    for (std::size_t from = 0; from < snapshot.subtasks.size(); ++from) {
      for (const auto& frozen : snapshot.subtasks[from].frozen) {
        if (frozen.state != declaration.name) continue;
        for (std::size_t i = 0; i < frozen.offsets.size(); ++i, ++count) {
          const std::size_t owner =
              parallelism == snapshot.subtasks.size() ? from : count % parallelism;
          if (declaration.kind != StateKind::operator_union && owner != subtask) continue;
          const std::size_t end =
              i + 1 < frozen.offsets.size() ? frozen.offsets[i + 1] : frozen.payload.size();
          state.elements.push_back(
              frozen.payload.substr(frozen.offsets[i], end - frozen.offsets[i]));
        }
      }
    }
    result.push_back(std::move(state));
  }
  return result;
}

/// The records that `op` has collected since the last call.
template <class T>
std::vector<T> take_output(Operator& op) {
  const auto batch = op.outputs().front().port->exchange(nullptr);
  return static_cast<Batch<T>&>(*batch).values;
}

/// All subtasks of one source, as one attempt of a job runs them.
template <class T>
class SourceAttempt {
 public:
  /// Opens `parallelism` subtasks; with `snapshot` as restored ones.
  template <class Make>
  SourceAttempt(FileSystem& files, Surroundings& around, std::uint32_t parallelism,
                const FrozenStates* snapshot, Make make) {
    for (std::uint32_t i = 0; i < parallelism; ++i) {
      auto context = std::make_unique<FakeContext>(files, around, "source", i, parallelism);
      if (snapshot != nullptr) {
        context->restored = true;
        context->operator_state().restore(deal(*snapshot, i, parallelism));
      }
      subtasks_.push_back({std::move(context), make(), false});
      const Status opened = subtasks_.back().source->open(*subtasks_.back().context);
      if (!opened) FAIL(opened.error().what);
    }
  }

  [[nodiscard]] std::size_t size() const { return subtasks_.size(); }
  [[nodiscard]] bool ended() const {
    return std::ranges::all_of(subtasks_, [](const auto& one) { return one.ended; });
  }
  /// Polls subtask `i` once, unless it has ended.
  std::vector<T> poll(std::size_t i) {
    Subtask& one = subtasks_[i];
    if (one.ended) return {};
    one.ended = one.source->poll() == PollResult::end;
    return take_output<T>(*one.source);
  }
  [[nodiscard]] FrozenStates snapshot() {
    FrozenStates result;
    for (Subtask& one : subtasks_) {
      REQUIRE(one.source->snapshot_state(CheckpointBarrier{}));
      result.subtasks.push_back(freeze(*one.context));
    }
    return result;
  }
  [[nodiscard]] FakeContext& context(std::size_t i) { return *subtasks_[i].context; }

 private:
  struct Subtask {
    std::unique_ptr<FakeContext> context;
    std::unique_ptr<SourceOperator> source;
    bool ended = false;
  };
  std::vector<Subtask> subtasks_;
};

/// Runs a source to its end in many attempts. `make` yields one that emits one record per poll at
/// its beginning. Every attempt has another parallelism, lets some subtasks emit one record, and is
/// stopped with a snapshot or, every fourth, crashes, so that the next begins where it had begun.
/// Returns the records that were not undone by a crash, sorted.
template <class T, class Make>
std::vector<T> run_in_pieces(FileSystem& files, Make make, std::uint64_t seed) {
  Surroundings around;
  std::vector<T> result;
  std::optional<FrozenStates> snapshot;
  for (std::uint64_t attempt = 0;; ++attempt) {
    REQUIRE(attempt < 100'000);
    auto draw = [state = (seed << 32) + attempt]() mutable {
      state = (state ^ (state >> 31)) * 0x9e3779b97f4a7c15 + 1;
      return static_cast<std::uint32_t>(state >> 40);
    };
    SourceAttempt<T> running(files, around, draw() % 4 + 1, snapshot ? &*snapshot : nullptr, make);
    std::vector<T> emitted;
    for (std::size_t i = 0; i < running.size(); ++i) {
      if (draw() % 3 == 0) continue;
      auto records = running.poll(i);
      CHECK(records.size() <= 1);
      std::ranges::move(records, std::back_inserter(emitted));
    }
    if (draw() % 4 == 0) continue;
    snapshot = running.snapshot();
    std::ranges::move(emitted, std::back_inserter(result));
    if (running.ended()) break;
  }
  std::ranges::sort(result);
  return result;
}

/// The sentence of the error that `call` throws.
template <class F>
Error thrown_by(F&& call) {
  try {
    call();
  } catch (const OperatorError& thrown) {
    return thrown.error();
  }
  FAIL("nothing was thrown");
  return {};
}

}  // namespace weir
