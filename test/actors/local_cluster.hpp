#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <caf/all.hpp>

#include "actors/client_gateway.hpp"
#include "actors/process.hpp"
#include "api/weir/weir.hpp"
#include "backends/fs/fs_state_backend.hpp"
#include "backends/memory/memory_state_backend.hpp"
#include "backends/rocksdb/rocksdb_state_backend.hpp"
#include "runtime/thread_executor.hpp"
#include "storage/file_checkpoint_storage.hpp"
#include "storage/posix_file_system.hpp"
#include "storage/standard_streams.hpp"
#include "storage/system.hpp"
#include "test/actors/test_libraries.hpp"
#include "test/storage/temporary_directory.hpp"

namespace weir::test {

/// JobManager, TaskManager and client in this process: real actors, threads and files.
class LocalCluster {
 public:
  explicit LocalCluster(std::string directory, std::uint32_t slots = 4)
      : directory_(std::move(directory)),
        libraries_(directory_),
        storage_(std::make_shared<FileCheckpointStorage>(files_, random_)),
        delivery_(clock_, [this](const std::string& line) {
          const std::scoped_lock lock(mutex_);
          trace_.push_back(line);
        }) {
    configure_actor_system(config_);
    system_ = std::make_unique<caf::actor_system>(config_);
    ProcessSeams seams;
    seams.clock = &clock_;
    seams.random = &random_;
    seams.files = &files_;
    seams.storage = storage_;
    seams.standard_streams = &streams_;
    seams.io = &io_;
    seams.executor = &executor_;
    seams.delivery = &delivery_;
    seams.libraries = &libraries_;
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
    seams.log = [this](const std::string& level, const std::string& text) {
      const std::scoped_lock lock(mutex_);
      log_.push_back(level + ": " + text);
    };
    seams.fatal = [](const std::string& why) { FAIL(why); };
    ProcessSettings settings;
    REQUIRE(settings.configuration.set("heartbeat.interval", "10 ms", "test"));
    settings.temporary_directory = directory_ + "/temporary";
    process_ = std::make_unique<Process>(*system_, std::move(seams), settings);
    process_->start_job_manager();
    process_->start_task_manager(TaskManagerId{1}, slots);
    client_ = std::make_unique<ClientGateway>(*system_, process_->job_manager(), delivery_);
  }
  ~LocalCluster() {
    client_.reset();
    process_->stop();
    process_.reset();
  }

  TestLibraries& libraries() { return libraries_; }
  Delivery& delivery() { return delivery_; }
  CheckpointStorage& storage() { return *storage_; }

  /// Builds the plan as a client does and submits the job.
  Result<JobId> submit(const std::string& job,
                       std::map<std::string, std::string> configuration = {},
                       std::string restore_directory = {},
                       std::vector<std::string> arguments = {}) {
    JobSubmission submission;
    submission.id = JobId{random_.next(), random_.next()};
    submission.name = job;
    auto plan = libraries_.build_plan(job, arguments, configuration);
    if (!plan) return std::unexpected(plan.error());
    submission.plan = (*plan)->describe();
    submission.library_sha256 = job;
    submission.arguments = std::move(arguments);
    submission.configuration = std::move(configuration);
    submission.restore_directory = std::move(restore_directory);
    auto success = request<SubmitJobSuccess>(SubmitJob{submission});
    if (!success) return std::unexpected(success.error());
    return success->job;
  }
  template <class R, class M>
  Result<R> request(M message) {
    return client_->request<R>(std::move(message), std::chrono::minutes(2));
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
  std::vector<std::string> trace() const {
    const std::scoped_lock lock(mutex_);
    return trace_;
  }
  std::string log() const {
    const std::scoped_lock lock(mutex_);
    std::string all;
    for (const auto& line : log_) all += line + "\n";
    return all;
  }
  const std::string& directory() const { return directory_; }

 private:
  std::string directory_;
  SystemClock clock_;
  SystemRandom random_;
  PosixFileSystem files_;
  ProcessStreams streams_;
  TestLibraries libraries_;
  std::shared_ptr<CheckpointStorage> storage_;
  mutable std::mutex mutex_;  // guards trace_ and log_
  std::vector<std::string> trace_;
  std::vector<std::string> log_;
  Delivery delivery_;
  IoPool io_{2};
  ThreadExecutor executor_;
  caf::actor_system_config config_;
  std::unique_ptr<caf::actor_system> system_;
  std::unique_ptr<Process> process_;
  std::unique_ptr<ClientGateway> client_;
};

}  // namespace weir::test
