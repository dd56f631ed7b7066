#include "simulation/operator_watch.hpp"

#include <stdexcept>
#include <utility>

#include "runtime/crash_reporter.hpp"

namespace weir {

namespace {

/// While it lives, code of the operator with that uid runs.
class Running {
 public:
  Running(OperatorWatch& watch, const std::string& uid, const OperatorContext& context)
      : watch_(watch), user_code_(context.label(), context.subtask()) {
    watch_.set_running(&uid);
  }
  ~Running() { watch_.set_running(nullptr); }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

 private:
  OperatorWatch& watch_;
  const UserCode user_code_;
};

/// What both kinds of watched operators have in common: they pass on everything.
template <class Base>
class Watched : public Base {
 public:
  Watched(std::unique_ptr<Operator> inner, std::string uid, std::shared_ptr<OperatorWatch> watch)
      : inner_(std::move(inner)), uid_(std::move(uid)), watch_(std::move(watch)) {}

  Status open(OperatorContext& context) override {
    context_ = &context;
    const Running running(*watch_, uid_, *context_);
    return inner_->open(context);
  }
  Progress on_restored() override { return inner_->on_restored(); }
  Progress on_watermark(std::uint32_t input, Watermark watermark) override {
    watch_->before_call();
    const Running running(*watch_, uid_, *context_);
    return inner_->on_watermark(input, watermark);
  }
  bool makes_watermarks() const override { return inner_->makes_watermarks(); }
  std::optional<Watermark> take_watermark() override { return inner_->take_watermark(); }
  Progress on_timer(MonotonicTime time) override {
    watch_->before_call();
    const Running running(*watch_, uid_, *context_);
    return inner_->on_timer(time);
  }
  Progress on_end(std::uint32_t input) override {
    const Running running(*watch_, uid_, *context_);
    return inner_->on_end(input);
  }
  Progress before_barrier(const CheckpointBarrier& barrier) override {
    return inner_->before_barrier(barrier);
  }
  Status snapshot_state(const CheckpointBarrier& barrier) override {
    return inner_->snapshot_state(barrier);
  }
  Status notify_checkpoint_complete(CheckpointId id, SnapshotKind kind) override {
    return inner_->notify_checkpoint_complete(id, kind);
  }
  Status notify_checkpoint_aborted(CheckpointId id) override {
    return inner_->notify_checkpoint_aborted(id);
  }
  std::vector<TaggedOutput> outputs() override { return inner_->outputs(); }

 protected:
  const std::unique_ptr<Operator> inner_;
  const std::string uid_;
  const std::shared_ptr<OperatorWatch> watch_;
  OperatorContext* context_ = nullptr;
};

class WatchedOperator final : public Watched<Operator> {
 public:
  using Watched::Watched;
  void on_batch(std::uint32_t input, AnyBatch& batch, Cursor& cursor) override {
    watch_->before_call();
    const Running running(*watch_, uid_, *context_);
    inner_->on_batch(input, batch, cursor);
  }
};

class WatchedSource final : public Watched<SourceOperator> {
 public:
  using Watched::Watched;
  ~WatchedSource() override { watch_->gone(this); }
  PollResult poll() override {
    if (!ended_) {
      watch_->before_call();
      const PollResult result = poll_inner();
      for (const TaggedOutput& output : inner_->outputs())
        if (output.tag.empty()) watch_->count(uid_, output.port->batch().size());
      if (result != PollResult::end) return result;
      ended_ = true;
    }
    if (!watch_->held()) return PollResult::end;
    watch_->wait(this, context_->waker());
    return PollResult::nothing_now;
  }

 private:
  PollResult poll_inner() {
    const Running running(*watch_, uid_, *context_);
    return static_cast<SourceOperator&>(*inner_).poll();
  }

  bool ended_ = false;
};

}  // namespace

void OperatorWatch::fail_calls(std::uint64_t calls, std::uint64_t times) {
  calls_to_failure_ = calls;
  failures_left_ = times;
}

void OperatorWatch::before_call() {
  if (calls_to_failure_ == 0 || --calls_to_failure_ > 0) return;
  ++failed_;
  // The next attempt comes soon to the same record, which fails again.
  if (--failures_left_ > 0) calls_to_failure_ = 1;
  throw std::runtime_error("a record was poison (simulated)");
}

void OperatorWatch::catch_call(CaughtCall call, std::string_view function) {
  const std::string where =
      running_ == nullptr ? "the job function" : "operator '" + *running_ + "'";
  const std::string name(function);
  switch (call) {
    case CaughtCall::clock:
      caught_.insert(where + " reads the clock (" + name +
                     "): let it take event times, or the timers' current_processing_time()");
      return;
    case CaughtCall::random:
      caught_.insert(where + " draws random numbers (" + name +
                     "): let them come from the record or from state");
      return;
    case CaughtCall::thread:
      caught_.insert(where + " starts a thread (" + name +
                     "), which no simulation can put in an order: do the work in the function");
      return;
  }
}

void OperatorWatch::release_sources() {
  held_ = false;
  for (const auto& [source, wake] : std::exchange(waiting_, {})) wake();
}

Result<std::shared_ptr<const Plan>> WatchedLibraries::build_plan(
    const std::string& library_sha256, const std::vector<std::string>& arguments,
    const std::map<std::string, std::string>& configuration) {
  WEIR_TRY_ASSIGN(plan, inner_.build_plan(library_sha256, arguments, configuration));
  auto watched = std::make_shared<Plan>(*plan);
  for (PlanOperator& one : watched->operators)
    one.make = [make = std::move(one.make), watch = watch_, uid = one.description.uid,
                is_source = one.description.source]() -> std::unique_ptr<Operator> {
      auto inner = make();
      if (is_source) return std::make_unique<WatchedSource>(std::move(inner), uid, watch);
      return std::make_unique<WatchedOperator>(std::move(inner), uid, watch);
    };
  return std::shared_ptr<const Plan>(std::move(watched));
}

}  // namespace weir
