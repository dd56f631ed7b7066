#pragma once

#include <memory>
#include <string>
#include <vector>

#include "runtime/plan_description.hpp"
#include "state/file_system.hpp"

namespace weir {

/// That output cannot go to `directory`, because of `cause`, whose code it keeps.
[[nodiscard]] std::unexpected<Error> unusable_output_directory(const std::string& directory,
                                                               const Error& cause);

/// Errors: `already_exists` if there is a committed file among the `entries` of `directory`: a job that
/// begins anew would add to the output of another.
[[nodiscard]] Status refuse_committed_output(const std::string& directory,
                                             const std::vector<DirectoryEntry>& entries);

/// The locks of the directories that the operators of one job write to. A directory has one lock for all
/// its operators and subtasks, so whoever leads the job holds it, not a task.
class OutputDirectoryLocks {
 public:
  /// Makes the output directories of `plan` and locks each against every other job, also one of this
  /// process. Errors, each one sentence: `unavailable` if another job holds one; `unsupported` if one lies
  /// where there are no locks; `io_error`, `not_found` if one cannot be made or locked. Then none is locked, and
  /// what was made for them is gone.
  /// Threads: any. Blocks.
  [[nodiscard]] static Result<OutputDirectoryLocks> take(FileSystem& files,
                                                         const PlanDescription& plan);
  /// Removes the lock files and lets the directories go, which the destructor does without removing
  /// anything. Blocks.
  void release(FileSystem& files);
  /// The same for a job that has come to nothing: also removes directories that `take` has made and that
  /// are still empty. Blocks.
  void undo(FileSystem& files);

 private:
  struct Held {
    std::string directory;
    std::string identity;                 ///< of `FileSystem::identify_directory`
    std::unique_ptr<DirectoryLock> lock;  ///< null: it could not be had, or another path has it
    std::vector<std::string>
        made;  ///< with the directory, which stands first; its parents behind it
  };
  [[nodiscard]] Status add(FileSystem& files, const std::string& directory);
  std::vector<Held> held_;
};

}  // namespace weir
