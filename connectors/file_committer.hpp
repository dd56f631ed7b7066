#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/operator.hpp"

namespace weir {

/// A closed and synced file that waits for a checkpoint to complete. An element of the sink's
/// state.
struct PreCommittedFile {
  std::string directory;  ///< absolute
  std::string name;       ///< `output_file_name`, from which the names on disk are made
  std::uint64_t size_bytes = 0;
  CheckpointId covered_by;  ///< the first checkpoint or savepoint that holds it; 0: none yet
  bool operator==(const PreCommittedFile&) const = default;
};
WEIR_FIELDS(PreCommittedFile, directory, name, size_bytes, covered_by)

/// What a snapshot knows of the jobs that it comes from: everything that `job` has committed is in files
/// covered by its checkpoints up to `checkpoint`. An element of the sink's state.
struct CommittedUpTo {
  JobId job;
  CheckpointId checkpoint;
  bool operator==(const CommittedUpTo&) const = default;
};
WEIR_FIELDS(CommittedUpTo, job, checkpoint)

/// The name of an output file: operator, subtask, number in this attempt, beginning of the job's id, random
/// part. Does not begin with a dot. Different uids have different names.
[[nodiscard]] std::string output_file_name(std::string_view uid, std::uint32_t subtask,
                                           std::uint64_t counter, const JobId& job,
                                           std::uint64_t random);
/// Its name once it is committed: with the number of the checkpoint that covers it.
[[nodiscard]] std::string committed_file_name(std::string_view name, CheckpointId covered_by);
/// Its name until it is committed; begins with a dot.
[[nodiscard]] std::string pending_file_name(std::string_view name);
/// The same once an ordinary savepoint holds it.
[[nodiscard]] std::string saved_file_name(std::string_view name);
/// Whether `name` is one of an uncommitted output file of operator `uid` that no savepoint holds.
[[nodiscard]] bool is_pending_file_of(std::string_view name, std::string_view uid);
/// Whether `name` is one of a committed output file of operator `uid` that no snapshot of `history` can
/// know: another job has written it, or a later checkpoint covers it.
[[nodiscard]] bool is_unknown_file_of(std::string_view name, std::string_view uid,
                                      std::span<const CommittedUpTo> history);

/// Makes the lines of one subtask of a file sink visible exactly once. Job authors do not name it: streams
/// have `write_files`.
///
///   lines ──> pending file ──barrier──> closed, synced, in the state ──checkpoint complete──> renamed
///
/// Lines go into a pending file in the output directory, which begins with the first line after a
/// barrier. Before the next barrier it is closed and synced, with its name in the directory, and
/// entered in the union state `files`. When a checkpoint (or the savepoint that ends the job) is
/// complete, the files entered up to it are committed: renamed, never replacing, and the directory
/// synced. A file whose checkpoint is aborted, or which only an ordinary savepoint covers, goes
/// with the next one that completes.
///
/// An ordinary savepoint may be restored long after the job has gone back to an older checkpoint, or has
/// begun anew, and knows nothing of it. The files that it holds get a name of their own, which only
/// their commit takes away.
///
/// Restore, at any parallelism: subtask 0 sees the files of all and commits them, where they lie,
/// in `open`; what a failed attempt had committed already is success. Then it removes the pending
/// files of this operator that are left: no barrier covered them, and their lines come again.
/// Nobody else's file can be among them: the subtasks of the old attempt have ended, those of the
/// new one begin a file with their first line, and no source emits before every subtask is open.
/// A job that does not start from a snapshot refuses a directory with committed files. One that does
/// refuses committed files of this operator that its snapshot cannot know: the lines in them would come
/// a second time. For that the state says how far which job had come, in subtask 0's list `history`.
///
/// All subtasks must see the same directory. Several sinks of a job may share one.
/// Threads: the task thread. Blocks on writing and syncing.
class FileCommitter {
 public:
  explicit FileCommitter(std::string directory);

  /// Makes the directory, commits, removes and refuses as said above. Errors, each one sentence:
  /// `already_exists`; `corruption` if a file of the snapshot is gone or has changed; `io_error`.
  [[nodiscard]] Status open(OperatorContext& context);
  /// Appends `line` and a newline. Errors: `io_error`; the sink is then of no further use, and
  /// nothing that it had not entered in its state may be entered later.
  [[nodiscard]] Status append_line(std::string_view line) {
    if (!file_) WEIR_TRY(begin_file());
    buffer_ += line;
    buffer_ += '\n';
    return buffer_.size() < buffer_bytes ? Status{} : write_buffer();
  }
  /// Closes the file being written, if there is one, so that it survives a crash of the machine.
  /// Before every `snapshot` and at the end of the input. Errors: as `append_line`.
  [[nodiscard]] Status close_file();
  /// Before the barrier of an ordinary savepoint, after `close_file`: gives what is not committed its
  /// lasting name. Errors: `io_error`.
  [[nodiscard]] Status save_files();
  /// Enters the closed files in the state, for checkpoint or savepoint `id`.
  void snapshot(CheckpointId id);
  /// Commits what checkpoint `id` covers. Repeating it does nothing. Errors: as `open`.
  [[nodiscard]] Status complete(CheckpointId id);

 private:
  static constexpr std::size_t buffer_bytes = 64 << 10;

  [[nodiscard]] Status begin_file();
  [[nodiscard]] Status write_buffer();
  /// Renames `files` and makes the new names durable.
  [[nodiscard]] Status commit(const std::vector<PreCommittedFile>& files);
  [[nodiscard]] Status commit(const PreCommittedFile& file);
  [[nodiscard]] Status remove_leftovers(const std::vector<DirectoryEntry>& entries);
  [[nodiscard]] Status refuse_unknown(const std::vector<DirectoryEntry>& entries) const;
  /// Fails before the first record rather than in mid-stream if no file can be made here.
  [[nodiscard]] Status try_writing();

  const std::string directory_;
  OperatorContext* context_ = nullptr;
  OperatorListState<PreCommittedFile>* state_ = nullptr;
  OperatorListState<CommittedUpTo>* history_state_ = nullptr;
  std::vector<CommittedUpTo> history_;    ///< of the jobs before this one; in subtask 0 alone
  std::unique_ptr<OutputFile> file_;      ///< being written; null before its first line
  std::string file_name_;                 ///< of `file_`, once committed
  std::uint64_t file_bytes_ = 0;          ///< appended to `file_`, without `buffer_`
  std::string buffer_;                    ///< lines that are not yet appended
  std::vector<PreCommittedFile> closed_;  ///< not committed; what the state holds after `snapshot`
  std::uint64_t counter_ = 0;             ///< files begun in this attempt
};

}  // namespace weir
