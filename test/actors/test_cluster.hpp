#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <caf/all.hpp>
#include <catch2/catch.hpp>

#include "actors/process.hpp"
#include "test/actors/test_libraries.hpp"

namespace weir::test {

/// One process with a JobManager and a TaskManager, and the jobs that tests give it. What it runs on (time,
/// threads, files, backends) a derived cluster brings along.
class TestCluster {
 public:
  TestCluster(const TestCluster&) = delete;
  TestCluster& operator=(const TestCluster&) = delete;

  TestLibraries& libraries() { return libraries_; }
  std::string log() const {
    const std::scoped_lock lock(log_mutex_);
    return log_;
  }
  /// Hears why the process would end at once. Set before a task is cancelled; called on actors' threads.
  std::function<void(const std::string&)> on_fatal = [](const std::string& why) { FAIL(why); };

  /// What a client submits for the job `library`, whose plan it builds.
  Result<JobSubmission> submission(const JobId& id, const std::string& library,
                                   std::map<std::string, std::string> configuration = {},
                                   std::string restore_directory = {},
                                   std::vector<std::string> arguments = {}) {
    JobSubmission submission;
    submission.id = id;
    submission.name = submission.library_sha256 = library;
    WEIR_TRY_ASSIGN(plan, libraries_.build_plan(library, arguments, configuration));
    submission.plan = plan->describe();
    submission.arguments = std::move(arguments);
    submission.configuration = std::move(configuration);
    submission.restore_directory = std::move(restore_directory);
    return submission;
  }

 protected:
  explicit TestCluster(const std::string& working_directory) : libraries_(working_directory) {}
  ~TestCluster() = default;

  /// Starts the process on `seams`, to which delivery, libraries, log and the end of the process are
  /// added. `scheduling` is CAF's `scheduler.policy`; empty: the one that Weir chooses.
  void start(ProcessSeams seams, ProcessSettings settings, std::uint32_t slots,
             std::function<bool(const DeliveryRecord&)> drop = {},
             const std::string& scheduling = {}) {
    delivery_.emplace(*seams.clock, std::function<void(const std::string&)>{});
    if (drop) delivery_->set_filter(std::move(drop));
    configure_actor_system(config_);
    if (!scheduling.empty()) config_.set("scheduler.policy", caf::atom_from_string(scheduling));
    system_ = std::make_unique<caf::actor_system>(config_);
    seams.delivery = &*delivery_;
    seams.libraries = &libraries_;
    seams.log = [this](const std::string& level, const std::string& text) {
      const std::scoped_lock lock(log_mutex_);
      log_ += level + ": " + text + "\n";
    };
    seams.fatal = [this](const std::string& why) { on_fatal(why); };
    process_ = std::make_unique<Process>(*system_, std::move(seams), std::move(settings));
    process_->start_job_manager();
    process_->start_task_manager(TaskManagerId{1}, slots);
  }

  TestLibraries libraries_;
  mutable std::mutex log_mutex_;  // guards log_
  std::string log_;
  std::optional<Delivery> delivery_;
  caf::actor_system_config config_;
  std::unique_ptr<caf::actor_system> system_;
  std::unique_ptr<Process> process_;
};

}  // namespace weir::test
