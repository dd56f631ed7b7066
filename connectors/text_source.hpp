#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "connectors/input_splits.hpp"
#include "connectors/line_splitter.hpp"
#include "connectors/pacer.hpp"
#include "runtime/operator.hpp"

namespace weir {

/// What a `TextSource` reads, and how.
struct TextSourceOptions {
  /// Files and directories, absolute; see `input_files`.
  std::vector<std::string> paths;
  /// Over all subtasks, above 0. None: as fast as possible.
  std::optional<double> lines_per_second;
  /// Of a split at most; less when there is little to share.
  std::uint64_t split_bytes = default_split_bytes;
  LineLimits limits{};
};

/// Reads the lines of text files, each exactly once, at any parallelism. The files are cut into
/// splits by byte offset, which are dealt out when the job begins; what is left of them, with the
/// position in each, is the operator list state `splits`. The input must not change while the job
/// runs: not while the job begins, because every subtask cuts it for itself, and not below what has
/// been read.
///
/// The rate is divided evenly among the subtasks that begin with a split; after a restore, among
/// all.
/// Errors: `open` and `poll` (as `OperatorError`) give those of `input_splits` and `LineSplitter`.
/// Reads block the task for as long as the disk takes.
class TextSource final : public SourceOperator {
 public:
  explicit TextSource(TextSourceOptions options) : options_(std::move(options)) {}
  [[nodiscard]] Status open(OperatorContext& context) override;
  [[nodiscard]] PollResult poll() override;
  [[nodiscard]] Status snapshot_state(const CheckpointBarrier& barrier) override;
  [[nodiscard]] std::vector<TaggedOutput> outputs() override { return {{"", &output_}}; }

 private:
  /// Takes the share of this subtask and returns how many subtasks have one.
  [[nodiscard]] Result<std::uint32_t> take_share();

  const TextSourceOptions options_;
  OperatorContext* context_ = nullptr;
  OperatorListState<FileSplit>* state_ = nullptr;
  std::deque<FileSplit> waiting_;          ///< not opened yet
  std::unique_ptr<LineSplitter> reading_;  ///< null between two splits
  std::optional<Pacer> pacer_;             ///< set by `open`
  Output<std::string> output_;
};

}  // namespace weir
