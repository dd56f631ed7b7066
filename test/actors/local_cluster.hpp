#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "actors/client_gateway.hpp"
#include "backends/fs/fs_state_backend.hpp"
#include "backends/memory/memory_state_backend.hpp"
#include "backends/rocksdb/rocksdb_state_backend.hpp"
#include "runtime/thread_executor.hpp"
#include "storage/file_checkpoint_storage.hpp"
#include "storage/posix_file_system.hpp"
#include "storage/standard_streams.hpp"
#include "storage/system.hpp"
#include "test/actors/test_cluster.hpp"
#include "test/storage/temporary_directory.hpp"

namespace weir::test {

/// JobManager, TaskManager and client in this process, on what `weir run` uses: CAF's scheduler, a thread
/// for each task, an I/O pool, files, and the three backends with RocksDB's own threads.
/// It shows what `SteppedCluster`, which has one thread and keeps all in memory, cannot: that task, I/O
/// pool and actors may work at the same time (also under the thread sanitizer), that a task's thread is
/// woken, and that snapshots on disk go from any backend to any other.
/// Nothing depends on how long something takes: tests ask until a state is reached, however long that is,
/// delays are there to be passed, never to be met, and no answer or heartbeat can come too late. What the
/// product bounds itself (a task must be taken in within 2 minutes, must end within 3 when it is cancelled,
/// a checkpoint must complete within 10) keeps a run that hangs from hanging for ever.
class LocalCluster : public TestCluster {
 public:
  explicit LocalCluster(std::string directory, std::uint32_t slots = 4)
      : TestCluster(directory),
        directory_(std::move(directory)),
        storage_(std::make_shared<FileCheckpointStorage>(files_, random_)) {
    ProcessSeams seams;
    seams.clock = &clock_;
    seams.random = &random_;
    seams.files = &files_;
    seams.storage = storage_;
    seams.standard_streams = &streams_;
    seams.io = &io_;
    seams.executor = &executor_;
    seams.make_backend =
        [](const Configuration& configuration) -> Result<std::shared_ptr<StateBackend>> {
      switch (configuration.state_backend().kind) {
        case StateBackendKind::jobmanager:
          return std::make_shared<MemoryStateBackend>();
        case StateBackendKind::filesystem:
          return std::make_shared<FsStateBackend>(
              configuration.state_backend().inline_threshold_bytes);
        case StateBackendKind::rocksdb:
          return std::make_shared<RocksDBStateBackend>(RocksDBStateBackend::Options{});
      }
      return error(Errc::unsupported, "no such backend");
    };
    ProcessSettings settings;
    REQUIRE(settings.configuration.set("heartbeat.interval", "10 ms", "test"));
    REQUIRE(settings.configuration.set("heartbeat.timeout", "24 h", "test"));
    settings.temporary_directory = directory_ + "/temporary";
    start(std::move(seams), std::move(settings), slots);
    client_ = std::make_unique<ClientGateway>(*system_, process_->job_manager(), *delivery_);
  }
  ~LocalCluster() {
    client_.reset();
    process_->stop();
    process_.reset();
    system_.reset();
  }

  CheckpointStorage& storage() { return *storage_; }

  /// Builds the plan as a client does and submits the job.
  Result<JobId> submit(const std::string& job,
                       std::map<std::string, std::string> configuration = {},
                       std::string restore_directory = {},
                       std::vector<std::string> arguments = {}) {
    const JobId id{random_.next(), random_.next()};
    WEIR_TRY_ASSIGN(built, submission(id, job, std::move(configuration),
                                      std::move(restore_directory), std::move(arguments)));
    WEIR_TRY_ASSIGN(success, request<SubmitJobSuccess>(SubmitJob{std::move(built)}));
    return success.job;
  }
  template <class R, class M>
  Result<R> request(M message) {
    return client_->request<R>(std::move(message), std::chrono::hours(24));
  }
  Result<JobDetails> details(const JobId& job) {
    return request<JobDetails>(RequestJobDetails{job});
  }
  /// Asks until `holds(details)`, or until the job has ended.
  JobDetails wait_until(const JobId& job, const std::function<bool(const JobDetails&)>& holds) {
    for (;;) {
      auto now = details(job);
      REQUIRE(now);
      if (holds(*now) || is_terminal(now->overview.state)) return *now;
      std::this_thread::yield();
    }
  }
  JobDetails wait_for_end(const JobId& job) {
    return wait_until(job, [](const JobDetails&) { return false; });
  }

 private:
  std::string directory_;
  SystemClock clock_;
  SystemRandom random_;
  PosixFileSystem files_;
  ProcessStreams streams_;
  std::shared_ptr<CheckpointStorage> storage_;
  IoPool io_{2};
  ThreadExecutor executor_;
  std::unique_ptr<ClientGateway> client_;
};

}  // namespace weir::test
