#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <queue>
#include <string>
#include <vector>

#include "runtime/exchange.hpp"
#include "runtime/metrics.hpp"
#include "runtime/operator.hpp"
#include "runtime/watermark_merger.hpp"

namespace weir {

/// The operators of one task and the way of records and events between them: a tree whose root is the
/// task's head operator and whose edges are the chained ones; other edges end in exchange writers.
///
/// Work is a stack of frames, each a batch or an event at one operator. The frame on top is always the
/// farthest downstream, so records leave the chain before the next ones enter it and each operator
/// holds at most the output of one slice. `run_slice` works on the top frame for one slice and may be
/// left at any point between two slices: the stack is the cursor that remembers the place.
/// Threads: the task thread, but for `current`.
class OperatorChain {
 public:
  /// Records that one slice works on at most. Fewer if they take longer than `slice_time`.
  static constexpr std::size_t slice_records = 256;
  static constexpr std::chrono::nanoseconds slice_time = std::chrono::milliseconds(1);

  /// Adds an operator; the first is the head. `input_count` is at least 1 but for a source. Returns its
  /// index, from 0.
  std::size_t add_operator(std::string uid, std::string name, std::unique_ptr<Operator> op,
                           std::uint32_t input_count, bool is_source);
  /// Connects the output `tag` of `producer` to the only input of `consumer`, in this task.
  [[nodiscard]] Status connect(std::size_t producer, const std::string& tag, std::size_t consumer);
  /// Connects the output `tag` of `producer` to other tasks.
  [[nodiscard]] Status connect(std::size_t producer, const std::string& tag,
                               std::unique_ptr<ExchangeWriter> writer);

  // What enters at the head. Requires `idle()` but for `push_barrier`'s caller, who waits for it too.
  void push_batch(std::uint32_t input, std::unique_ptr<AnyBatch> batch, Channel* origin);
  void push_watermark(std::uint32_t input, Watermark watermark);
  void push_end(std::uint32_t input);
  /// The source has ended: a last watermark and the end of input, behind everything on the stack.
  void push_source_end();
  /// Lets every operator that has not ended emit what it must before `barrier`. The barrier itself goes
  /// out with `broadcast` once the chain is idle again.
  void push_before_barrier(const CheckpointBarrier& barrier);
  /// Asks the source for records and hands on what it collected. Requires `idle()`.
  [[nodiscard]] PollResult poll_source();
  /// Makes due timers frames. Returns whether the source's time has come. Requires `idle()`.
  bool push_due_timers(MonotonicTime now);

  /// True if no frame is left.
  [[nodiscard]] bool idle() const { return frames_.empty(); }
  /// Works on the top frame for one slice. Requires `!idle()`. Exceptions of user functions pass
  /// through; `current()` then names the operator.
  void run_slice(const Clock& clock);
  /// Whether the top frame may emit so much that it has to wait for room. What precedes a barrier goes
  /// first without: an event always has room.
  [[nodiscard]] bool needs_room() const {
    return frames_.back().kind != FrameKind::before_barrier || frames_.back().continued;
  }
  /// Whether every exchange has room for the output of a slice.
  [[nodiscard]] bool has_room();
  /// Sends off partly filled batches.
  void flush();
  [[nodiscard]] bool has_partial() const;
  /// Sends `event` to every exchange, behind everything written so far.
  void broadcast(const auto& event) {
    for (ExchangeWriter* writer : writers_) writer->broadcast(event);
  }

  void set_timer(std::size_t index, MonotonicTime time) { nodes_[index]->timers.push(time); }
  [[nodiscard]] std::optional<MonotonicTime> next_timer() const;
  /// True once every operator has seen the end of its input and emitted everything.
  [[nodiscard]] bool ended() const;

  [[nodiscard]] std::size_t size() const { return nodes_.size(); }
  [[nodiscard]] Operator& op(std::size_t index) { return *nodes_[index]->op; }
  [[nodiscard]] bool finished(std::size_t index) const { return nodes_[index]->finished; }
  /// For a restore: operator `index` had finished and does not run again.
  void set_finished(std::size_t index) { nodes_[index]->finished = true; }
  /// The operator that works now or worked last; 0 at first. Threads: any; nothing is ordered by it.
  [[nodiscard]] std::size_t current() const { return current_.load(std::memory_order_relaxed); }
  /// Says which operator the task calls from outside `run_slice`, also one that is only being made.
  void set_current(std::size_t index) { current_.store(index, std::memory_order_relaxed); }
  [[nodiscard]] OperatorMetrics& metrics(std::size_t index) { return nodes_[index]->metrics; }

 private:
  struct Port {
    std::string tag;
    OutputPort* output = nullptr;
    std::vector<std::size_t> children;
    std::vector<std::unique_ptr<ExchangeWriter>> writers;
    std::unique_ptr<AnyBatch> spare;  ///< a spent batch to collect into next
  };
  struct Node {
    explicit Node(std::uint32_t input_count) : open_inputs(input_count), watermarks(input_count) {}
    std::unique_ptr<Operator> op;
    SourceOperator* source = nullptr;
    bool makes_watermarks = false;  ///< as the operator says
    std::uint32_t open_inputs = 0;  ///< inputs that have not ended; a source counts as one
    WatermarkMerger watermarks;     ///< of the inputs, for what goes downstream
    bool finished = false;  ///< it has emitted everything, in this attempt or an earlier one
    std::size_t slice = slice_records;
    std::vector<Port> ports;
    std::priority_queue<MonotonicTime, std::vector<MonotonicTime>, std::greater<>> timers;
    OperatorMetrics metrics;
  };
  enum class FrameKind : std::uint8_t { batch, watermark, end, before_barrier, timer };
  struct Frame {
    FrameKind kind = FrameKind::batch;
    bool continued = false;  ///< it has had a slice before
    std::size_t node = 0;
    std::uint32_t input = 0;
    std::unique_ptr<AnyBatch> batch = nullptr;
    Cursor cursor{};
    Channel* origin_channel = nullptr;  ///< where the spent batch goes back to ...
    Port* origin_port = nullptr;        ///< ... or this
    Watermark watermark{};
    CheckpointBarrier barrier{};
    MonotonicTime time{};
  };

  [[nodiscard]] Result<Port*> port(std::size_t producer, const std::string& tag);
  /// One slice of the top frame's work. Returns whether the frame is complete.
  [[nodiscard]] bool work_on(Frame& frame, Node& node);
  /// Hands on what `node` has collected: all of it when its frame is complete, else full outputs only.
  /// `event`, if any, follows the records on every output.
  void emit(Node& node, bool everything, const Frame* event);
  void recycle(Frame& frame);

  std::vector<std::unique_ptr<Node>> nodes_;
  std::vector<ExchangeWriter*> writers_;
  std::vector<Frame> frames_;
  std::vector<Frame> emitted_;  ///< frames of one `emit`, kept for its memory
  std::atomic<std::size_t> current_ = 0;
};

}  // namespace weir
