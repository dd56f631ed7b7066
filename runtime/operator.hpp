#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/batch.hpp"
#include "runtime/events.hpp"
#include "runtime/operator_state.hpp"
#include "state/clock.hpp"
#include "state/file_system.hpp"
#include "state/ids.hpp"
#include "state/keyed_state_backend.hpp"
#include "state/standard_streams.hpp"

namespace weir {

/// Whether a piece of work is complete or must be called again, because its slice is used up or the
/// output is full.
enum class Progress : std::uint8_t { done, more };

/// Remembers the place within a batch, so that a step may end inside it.
struct Cursor {
  std::size_t next = 0;   ///< index of the first record that is not yet processed
  std::size_t limit = 0;  ///< this slice ends before the record with this index
};

/// What a source answers to `poll`.
enum class PollResult : std::uint8_t {
  more,         ///< call again when there is room
  nothing_now,  ///< its waker or a time asked for with `wake_at` says when to call again
  end           ///< nothing will come any more
};

/// What an operator throws where its signature has no room for an `Error`: a file that cannot be read,
/// a full disk. The task fails with that error and the operator's name before it; what else is thrown
/// counts as a failure of the user's function.
class OperatorError final : public std::exception {
 public:
  explicit OperatorError(Error error) : error_(std::move(error)) {}
  [[nodiscard]] const Error& error() const { return error_; }
  [[nodiscard]] const char* what() const noexcept override { return error_.what.c_str(); }

 private:
  Error error_;
};

/// The value of `result`; throws its error as an `OperatorError`.
template <class T>
T value_or_throw(Result<T> result) {
  if (!result) throw OperatorError(std::move(result.error()));
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

/// One typed output of an operator: where its records of this slice collect.
class OutputPort {
 public:
  virtual ~OutputPort() = default;
  [[nodiscard]] virtual AnyBatch& batch() = 0;
  [[nodiscard]] virtual bool full() const = 0;
  /// Hands the collected records out and goes on with `replacement` (null: a new batch).
  [[nodiscard]] virtual std::unique_ptr<AnyBatch> exchange(
      std::unique_ptr<AnyBatch> replacement) = 0;
};

/// An output of records of type `T`.
template <class T>
class Output final : public OutputPort {
 public:
  Output() : batch_(std::make_unique<Batch<T>>()) { collector_.attach(batch_.get()); }
  [[nodiscard]] Collector<T>& collector() { return collector_; }
  [[nodiscard]] AnyBatch& batch() override { return *batch_; }
  [[nodiscard]] bool full() const override { return batch_->full(); }
  [[nodiscard]] std::unique_ptr<AnyBatch> exchange(std::unique_ptr<AnyBatch> replacement) override {
    std::unique_ptr<AnyBatch> collected = std::move(batch_);
    batch_ = replacement ? std::unique_ptr<Batch<T>>(static_cast<Batch<T>*>(replacement.release()))
                         : std::make_unique<Batch<T>>();
    collector_.attach(batch_.get());
    return collected;
  }

 private:
  std::unique_ptr<Batch<T>> batch_;
  Collector<T> collector_;
};

/// An output of an operator and its tag; the main output's is empty.
struct TaggedOutput {
  std::string tag;
  OutputPort* port = nullptr;
};

/// What an operator may ask of the task it runs in.
/// Threads: the task thread, but for `waker`.
class OperatorContext {
 public:
  virtual ~OperatorContext() = default;
  [[nodiscard]] virtual const std::string& uid() const = 0;
  /// The operator as sentences begin with it: `operator 'sums'` (see `operator_label`).
  [[nodiscard]] virtual const std::string& label() const = 0;
  [[nodiscard]] virtual JobId job() const = 0;
  [[nodiscard]] virtual const std::string& job_name() const = 0;
  [[nodiscard]] virtual std::uint32_t subtask() const = 0;
  [[nodiscard]] virtual std::uint32_t parallelism() const = 0;
  [[nodiscard]] virtual std::uint32_t max_parallelism() const = 0;
  /// True if the job started from a snapshot, even if this operator had no state in it.
  [[nodiscard]] virtual bool is_restored() const = 0;
  [[nodiscard]] virtual OperatorStateStore& operator_state() = 0;
  /// The keyed state; made at the first call. `key_width` is the fixed width of the key's encoding in
  /// bytes, 0 if it varies. Errors: those of the backend's `restore`.
  [[nodiscard]] virtual Result<KeyedStateBackend*> keyed_state(std::size_t key_width) = 0;
  [[nodiscard]] virtual FileSystem& files() = 0;
  [[nodiscard]] virtual const Clock& clock() const = 0;
  [[nodiscard]] virtual Random& random() = 0;
  [[nodiscard]] virtual StandardStreams& standard_streams() = 0;
  /// Calls `on_timer` (a source: `poll`) at `time` or soon after.
  virtual void wake_at(MonotonicTime time) = 0;
  /// A function that makes the task look at this operator again: for clients with threads of their
  /// own. May be called on any thread, also after the task has ended.
  [[nodiscard]] virtual std::function<void()> waker() = 0;
  /// Tells people something that they should know and that is no failure, a sentence without the operator's
  /// name.
  virtual void warn(const std::string& text) = 0;
};

/// One operator of a plan in one subtask. The runtime hands it batches and events in order; inside a
/// batch the user's function is inlined. Functions of the job may throw; that fails the task.
/// Every call may be followed by a snapshot, at the place that the cursor and the operator's own
/// fields remember.
/// Threads: the task thread, from `open` to the destructor.
class Operator {
 public:
  virtual ~Operator() = default;

  /// Before anything else: registers states, which arrive with their restored content.
  [[nodiscard]] virtual Status open(OperatorContext&) { return {}; }
  /// Behind `open`, once the restored keyed state is all there and before the first record: prepares what
  /// is made from it. `more`: call again.
  [[nodiscard]] virtual Progress on_restored() { return Progress::done; }
  /// Works on `batch` from `cursor.next` to `cursor.limit` or until an output is full, and moves
  /// `cursor.next`. `input` counts from 0. May take the values out of the batch.
  virtual void on_batch(std::uint32_t input, AnyBatch& batch, Cursor& cursor) = 0;
  /// The combined watermark of `input` has advanced. `more`: call again before anything else.
  virtual Progress on_watermark(std::uint32_t, Watermark) { return Progress::done; }
  /// Whether `take_watermark` says what goes downstream, and not what comes in, but for the last watermark
  /// at the end of the input.
  [[nodiscard]] virtual bool makes_watermarks() const { return false; }
  /// A watermark to go behind what the operator has emitted. Asked for, of one that makes them, after each
  /// batch and timer.
  [[nodiscard]] virtual std::optional<Watermark> take_watermark() { return std::nullopt; }
  /// A time asked for with `wake_at` has come. `more`: call again.
  virtual Progress on_timer(MonotonicTime) { return Progress::done; }
  /// No record follows on `input`. The last chance to emit. `more`: call again.
  virtual Progress on_end(std::uint32_t) { return Progress::done; }
  /// The only hook that may still emit for this checkpoint. `more`: call again.
  virtual Progress before_barrier(const CheckpointBarrier&) { return Progress::done; }
  /// Brings the operator's state up to date for a snapshot; the runtime then freezes it.
  [[nodiscard]] virtual Status snapshot_state(const CheckpointBarrier&) { return {}; }
  /// Checkpoint `id` is complete and durable. Sinks commit unless `kind` is an ordinary savepoint.
  /// An error fails the task.
  [[nodiscard]] virtual Status notify_checkpoint_complete(CheckpointId, SnapshotKind) { return {}; }
  /// Checkpoint `id` will not complete. Frees resources; never discards output.
  [[nodiscard]] virtual Status notify_checkpoint_aborted(CheckpointId) { return {}; }

  /// The outputs; the same objects at every call.
  [[nodiscard]] virtual std::vector<TaggedOutput> outputs() { return {}; }
};

/// An operator without inputs. A job uses one of its own with `StreamEnvironment::add_source`.
///
///   struct Countdown final : SourceOperator {
///     Status open(OperatorContext& context) override {
///       WEIR_TRY(require_one_subtask(context, "a countdown"));
///       WEIR_TRY_ASSIGN(state, context.operator_state().list_state<long>("left"));
///       state_ = state;
///       if (!state_->get().empty()) left_ = state_->get().front();
///       return {};
///     }
///     PollResult poll() override {
///       if (left_ > 0) output_.collector().collect(left_--);
///       return left_ > 0 ? PollResult::more : PollResult::end;
///     }
///     Status snapshot_state(const CheckpointBarrier&) override {
///       state_->update({left_});
///       return {};
///     }
///     std::vector<TaggedOutput> outputs() override { return {{"", &output_}}; }
///     long left_ = 10;
///     OperatorListState<long>* state_ = nullptr;
///     Output<long> output_;
///   };
///
///   env.add_source<long>("countdown", [] { return std::make_unique<Countdown>(); }).set_parallelism(1).print();
///
class SourceOperator : public Operator {
 public:
  /// Collects at most one batch and never waits.
  [[nodiscard]] virtual PollResult poll() = 0;
  void on_batch(std::uint32_t, AnyBatch&, Cursor&) final { WEIR_ASSERT(!"a source has no input"); }
};

}  // namespace weir
