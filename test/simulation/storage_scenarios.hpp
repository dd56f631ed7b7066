#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "simulation/simulated_file_system.hpp"
#include "storage/file_checkpoint_storage.hpp"
#include "test/simulation/small_job.hpp"

namespace weir::test {

/// What is tried with every crash and every fault: `before` brings the job where `run` begins, which is
/// then interrupted. One more is one more entry in `storage_scenarios`.
struct StorageScenario {
  std::string name;
  std::function<Status(SmallJob&)> before;
  std::function<Status(SmallJob&)> run;
};

inline std::vector<StorageScenario> storage_scenarios() {
  const auto nothing = [](SmallJob&) -> Status { return {}; };
  const auto checkpoint = [](SmallJob& job) -> Status {
    WEIR_TRY(job.write(3));
    return job.checkpoint();
  };
  const auto start_and_checkpoint = [=](SmallJob& job) -> Status {
    WEIR_TRY(job.start());
    return checkpoint(job);
  };
  const auto until_retained = [=](SmallJob& job) -> Status {
    WEIR_TRY(start_and_checkpoint(job));
    return checkpoint(job);
  };
  const auto stop = [](SmallJob& job) -> Status {
    WEIR_TRY(job.write(2));
    return job.stop();
  };
  const auto until_stopped = [=](SmallJob& job) -> Status {
    WEIR_TRY(start_and_checkpoint(job));
    return stop(job);
  };
  const auto take_native_savepoint = [](SmallJob& job) -> Status {
    WEIR_TRY(job.write(2));
    WEIR_TRY(job.savepoint(SnapshotForm::native));
    return {};
  };
  const auto start_incremental = [=](SmallJob& job) -> Status {
    job.take_incremental();
    return start_and_checkpoint(job);
  };
  // All groups have changed, so that some are written whole and files of the first checkpoint are not needed
  // any more.
  const auto until_files_are_shared = [=](SmallJob& job) -> Status {
    WEIR_TRY(start_incremental(job));
    for (int i = 0; i < 6; ++i) {
      WEIR_TRY(job.write(SmallKeyedState::keys));
      WEIR_TRY(job.checkpoint());
    }
    return {};
  };
  const auto start_in_database = [=](SmallJob& job) -> Status {
    job.use_database();
    return start_incremental(job);
  };
  // Its files are merged into one, so that those of the checkpoints before are not needed any more.
  const auto until_files_are_merged = [=](SmallJob& job) -> Status {
    WEIR_TRY(start_in_database(job));
    WEIR_TRY(checkpoint(job));
    job.merge_files();
    WEIR_TRY(checkpoint(job));
    return {};
  };
  const auto taken = std::make_shared<CheckpointId>();
  return {
      {"the first checkpoint of a job", nothing, start_and_checkpoint},
      {"the next checkpoint", start_and_checkpoint, checkpoint},
      {"a checkpoint that replaces the oldest", until_retained, checkpoint},
      {"a savepoint", start_and_checkpoint,
       [](SmallJob& job) -> Status {
         WEIR_TRY(job.write(2));
         WEIR_TRY(job.savepoint());
         return {};
       }},
      {"a terminal savepoint", start_and_checkpoint, stop},
      {"a checkpoint that replaces a terminal savepoint", until_stopped, checkpoint},
      {"the commit of a sink",
       [=](SmallJob& job) -> Status {
         WEIR_TRY(start_and_checkpoint(job));
         WEIR_TRY(job.write(2));
         WEIR_TRY_ASSIGN(id, job.take(SnapshotKind::checkpoint));
         *taken = id;
         return {};
       },
       [=](SmallJob& job) { return job.commit(*taken); }},
      {"the deletion of a checkpoint",
       [=](SmallJob& job) -> Status {
         WEIR_TRY(until_retained(job));
         WEIR_TRY(job.take(SnapshotKind::checkpoint));
         return {};
       },
       [](SmallJob& job) { return job.delete_subsumed(); }},
      {"a native savepoint", start_and_checkpoint, take_native_savepoint},
      {"the first incremental checkpoint", nothing, start_incremental},
      {"an incremental checkpoint", start_incremental, checkpoint},
      {"an incremental checkpoint that replaces the oldest", until_files_are_shared, checkpoint},
      {"the deletion of an incremental checkpoint and of files that it shared",
       [=](SmallJob& job) -> Status {
         WEIR_TRY(until_files_are_shared(job));
         WEIR_TRY(job.write(SmallKeyedState::keys));
         WEIR_TRY(job.take(SnapshotKind::checkpoint));
         return {};
       },
       [](SmallJob& job) { return job.delete_subsumed(); }},
      {"a native savepoint beside incremental checkpoints", start_incremental,
       take_native_savepoint},
      {"the first incremental checkpoint of a database", nothing, start_in_database},
      {"an incremental checkpoint of a database", start_in_database, checkpoint},
      {"an incremental checkpoint of a database that has merged its files", until_files_are_merged,
       checkpoint},
      {"the deletion of incremental checkpoints of a database",
       [=](SmallJob& job) -> Status {
         WEIR_TRY(until_files_are_merged(job));
         WEIR_TRY(job.write(3));
         WEIR_TRY(job.take(SnapshotKind::checkpoint));
         return {};
       },
       [](SmallJob& job) { return job.delete_subsumed(); }},
      {"a native savepoint of a database", start_in_database, take_native_savepoint},
  };
}

/// A disk, a process on it that runs a `SmallJob`, and what that has reported.
class Host {
 public:
  using MakeFiles = std::function<std::unique_ptr<FileSystem>(FileSystem&)>;
  using MakeStorage = std::function<std::unique_ptr<CheckpointStorage>(FileSystem&, Random&)>;

  /// The real storage code, or what is to be caught instead of it.
  struct Code {
    MakeFiles files;
    MakeStorage storage = [](FileSystem& files, Random& random) {
      return std::make_unique<FileCheckpointStorage>(files, random);
    };
    std::function<void(SmallJob&)> habits = [](SmallJob&) {};
  };

  Host(DiskImage image, Ledger known, const Code& code, std::uint64_t generation,
       std::size_t filler_bytes = 66'000)
      : ledger(std::move(known)),
        disk(std::make_shared<SimulatedDisk>(std::move(image))),
        code_(code),
        generation_(generation),
        filler_bytes_(filler_bytes) {
    begin_process();
  }

  Ledger ledger;
  const std::shared_ptr<SimulatedDisk> disk;

  [[nodiscard]] SmallJob& job() { return *job_; }
  [[nodiscard]] CheckpointStorage& storage() { return *storage_; }
  [[nodiscard]] FileSystem& files() { return *files_; }
  /// Ends the process and begins another; what the old one had left open is returned.
  std::vector<std::string> begin_process() {
    job_.reset();
    std::vector<std::string> left_open = disk->open_files();
    storage_.reset();
    altered_.reset();
    files_ = std::make_unique<SimulatedFileSystem>(disk);
    if (code_.files) altered_ = code_.files(*files_);
    FileSystem& seen = altered_ ? *altered_ : static_cast<FileSystem&>(*files_);
    ++generation_;
    random_ = std::make_unique<CountedRandom>(generation_ << 32);
    storage_ = code_.storage(seen, *random_);
    job_ = std::make_unique<SmallJob>(seen, *storage_, ledger, generation_, filler_bytes_);
    code_.habits(*job_);
    return left_open;
  }

 private:
  const Code code_;
  std::uint64_t generation_;
  const std::size_t filler_bytes_;
  std::unique_ptr<SimulatedFileSystem> files_;
  std::unique_ptr<FileSystem> altered_;
  std::unique_ptr<CountedRandom> random_;
  std::unique_ptr<CheckpointStorage> storage_;
  std::unique_ptr<SmallJob> job_;
};

/// What is wrong with the files of a job that has been started from them, empty if nothing is: the
/// restored point must be one that `ledger` allows, its content that of its id, the output exactly the
/// records before it, every reported savepoint whole, and nothing half done left.
inline std::string what_is_wrong(Host& host) {
  const Ledger& ledger = host.ledger;
  const std::uint64_t id = host.job().restored_from();
  const std::string point = "checkpoint " + std::to_string(id);
  if (id < ledger.completed)
    return point + " instead of the complete " + std::to_string(ledger.completed);
  if (id > ledger.begun) return point + " has never been begun";
  if (ledger.failed.contains(id)) return point + " was reported as failed and has come back";
  if (id != 0 && ledger.records.at(id) != host.job().records())
    return point + " restores " + std::to_string(host.job().records()) + " records instead of " +
           std::to_string(ledger.records.at(id));
  if (const std::string wrong = host.job().compare_state(); !wrong.empty())
    return point + ": " + wrong;
  const auto contents = host.disk->contents();
  if (committed_lines(contents) != numbers_below(host.job().records()))
    return "the output is not that of " + point;
  for (const auto& [directory, records] : ledger.savepoints) {
    const auto found = SmallJob::records_in(host.storage(), directory);
    if (!found) return "a reported savepoint does not restore: " + found.error().what;
    if (*found != records) return "a reported savepoint restores other records";
    const std::string wrong = SmallJob::compare_state_in(ledger.in_database, host.files(),
                                                         host.storage(), directory, records);
    if (!wrong.empty()) return "a reported savepoint: " + wrong;
  }
  const auto found = scan_job(host.storage(), SmallJob::root, SmallJob::id);
  if (!found) return found.error().what;
  std::set<std::string> named;  // files that checkpoints share
  for (const FoundSnapshot& one : *found) {
    if (one.kind == FoundSnapshot::Kind::incomplete) return one.path + " is left, incomplete";
    if (one.kind != FoundSnapshot::Kind::complete) continue;
    const auto verified = verify_snapshot(host.storage(), one.path);
    if (!verified) return "a checkpoint looks complete and is not: " + verified.error().what;
    for (const DataLocation& location : verified->locations)
      if (location.shared) named.insert(shared_directory(one.path) + "/" + location.file);
  }
  for (const auto& [path, content] : contents) {
    const std::string name = path.substr(path.rfind('/') + 1);
    const bool ours = path.starts_with(SmallJob::root) || path.starts_with(SmallJob::output);
    if (ours && name.starts_with('.') && name != ".lock") return path + " is left";
    const bool is_shared = path.starts_with(SmallJob::root) && path.contains("/shared/");
    if (is_shared && !named.contains(path)) return path + " is left, and nothing names it";
  }
  return {};
}

/// Starts the job of `host` and goes on with it for a checkpoint, then once more after the loss of all
/// that is not synced. Returns the first thing that is wrong.
inline std::string recover_and_go_on(Host& host) {
  if (const Status started = host.job().start(); !started)
    return "it does not start: " + started.error().what;
  if (std::string wrong = what_is_wrong(host); !wrong.empty()) return wrong;
  Status status = host.job().write(2);
  if (status) status = host.job().checkpoint();
  if (!status) return "it does not go on: " + status.error().what;
  host.disk->lose_unsynced();
  host.begin_process();
  if (const Status again = host.job().start(); !again)
    return "it does not start again: " + again.error().what;
  const std::string wrong = what_is_wrong(host);
  return wrong.empty() ? wrong : "after going on: " + wrong;
}

}  // namespace weir::test
