#include "actors/process.hpp"

#include <utility>

#include <caf/all.hpp>

#include "actors/gateways.hpp"
#include "actors/job_manager.hpp"
#include "actors/task_manager.hpp"

namespace weir {

struct Process::Actors {
  JobManagerActor job_manager;
  TaskManagerActor task_manager;
  std::shared_ptr<JobManagerGateway> to_job_manager;  ///< of `task_manager`
};

Process::Process(caf::actor_system& system, ProcessSeams seams, ProcessSettings settings)
    : system_(system),
      seams_(std::make_shared<ProcessSeams>(std::move(seams))),
      settings_(std::move(settings)),
      gateways_(std::make_shared<GatewayRegistry>()),
      actors_(std::make_unique<Actors>()) {}

Process::~Process() {
  gateways_->clear();
  if (actors_->to_job_manager) actors_->to_job_manager->cut();
  if (actors_->task_manager) caf::anon_send_exit(actors_->task_manager, caf::exit_reason::kill);
  if (actors_->job_manager) caf::anon_send_exit(actors_->job_manager, caf::exit_reason::kill);
}

void Process::start_job_manager() {
  actors_->job_manager = system_.spawn(weir::job_manager, seams_, settings_, gateways_);
}

void Process::start_task_manager(TaskManagerId id, std::uint32_t slots) {
  start_task_manager(id, slots, job_manager());
  add_task_manager(id, task_manager());
}

void Process::start_task_manager(TaskManagerId id, std::uint32_t slots,
                                 const JobManagerInterface& job_manager) {
  actors_->to_job_manager = std::make_shared<JobManagerGateway>(job_manager);
  actors_->task_manager =
      system_.spawn(weir::task_manager, seams_, settings_,
                    std::shared_ptr<const JobManagerGateway>(actors_->to_job_manager), id, slots);
}

void Process::add_task_manager(TaskManagerId id, const TaskManagerInterface& task_manager) {
  gateways_->add(std::make_shared<const TaskManagerGateway>(id, task_manager));
}

void Process::remove_task_manager(TaskManagerId id) { gateways_->remove(id); }

JobManagerInterface Process::job_manager() const {
  return caf::actor_cast<JobManagerInterface>(actors_->job_manager);
}

TaskManagerInterface Process::task_manager() const {
  return caf::actor_cast<TaskManagerInterface>(actors_->task_manager);
}

void Process::stop() {
  caf::scoped_actor self{system_};
  const auto end = [&](auto& actor) {
    if (!actor) return;
    self->send_exit(actor, caf::exit_reason::user_shutdown);
    self->wait_for(actor);
    actor = nullptr;
  };
  end(actors_->task_manager);
  end(actors_->job_manager);
  gateways_->clear();
}

}  // namespace weir
