#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "connectors/file_committer.hpp"
#include "runtime/operator.hpp"

namespace weir {

/// Writes one line per record into files in a directory, exactly once: every file there whose name
/// does not begin with a dot is committed and will not change. `format(const T&)` yields the line,
/// without newline. How it works and what it promises is said at `FileCommitter`.
///
///   const auto line_of = [](const Order& order) { return order.customer + '\t' + std::to_string(order.amount); };
///   orders.write_files("/data/out", line_of).uid("output");
///
/// Errors: those of `FileCommitter`; in mid-stream as `OperatorError`.
template <class T, class F>
class FileSink final : public Operator {
 public:
  /// `directory` is absolute; made if it is missing.
  FileSink(std::string directory, F format)
      : committer_(std::move(directory)), format_(std::move(format)) {}

  [[nodiscard]] Status open(OperatorContext& context) override { return committer_.open(context); }
  void on_batch(std::uint32_t, AnyBatch& any, Cursor& cursor) override {
    const auto& batch = static_cast<Batch<T>&>(any);
    while (cursor.next < cursor.limit) {
      value_or_throw(committer_.append_line(std::string_view(format_(batch.values[cursor.next]))));
      ++cursor.next;
    }
  }
  Progress on_end(std::uint32_t) override { return close_file(); }
  Progress before_barrier(const CheckpointBarrier& barrier) override {
    const Progress closed = close_file();
    if (barrier.options.kind == SnapshotKind::savepoint) value_or_throw(committer_.save_files());
    return closed;
  }
  [[nodiscard]] Status snapshot_state(const CheckpointBarrier& barrier) override {
    committer_.snapshot(barrier.id);
    return {};
  }
  [[nodiscard]] Status notify_checkpoint_complete(CheckpointId id, SnapshotKind kind) override {
    return kind == SnapshotKind::savepoint ? Status{} : committer_.complete(id);
  }

 private:
  /// What fails here fails the task. In `snapshot_state` it would only decline the checkpoint, and
  /// the job would go on without the lines of this file.
  Progress close_file() {
    value_or_throw(committer_.close_file());
    return Progress::done;
  }

  FileCommitter committer_;
  F format_;
};

}  // namespace weir
