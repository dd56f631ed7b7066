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
};

Process::Process(caf::actor_system& system, ProcessSeams seams, ProcessSettings settings)
    : system_(system),
      seams_(std::make_shared<ProcessSeams>(std::move(seams))),
      settings_(std::move(settings)),
      gateways_(std::make_shared<GatewayRegistry>()),
      actors_(std::make_unique<Actors>()) {}

Process::~Process() {
  gateways_->clear();
  if (actors_->task_manager) caf::anon_send_exit(actors_->task_manager, caf::exit_reason::kill);
  if (actors_->job_manager) caf::anon_send_exit(actors_->job_manager, caf::exit_reason::kill);
}

void Process::start_job_manager() {
  actors_->job_manager = system_.spawn(weir::job_manager, seams_, settings_, gateways_);
}

void Process::start_task_manager(TaskManagerId id, std::uint32_t slots) {
  auto gateway = std::make_shared<const JobManagerGateway>(job_manager());
  actors_->task_manager =
      system_.spawn(weir::task_manager, seams_, settings_, std::move(gateway), id, slots);
  gateways_->add(std::make_shared<const TaskManagerGateway>(
      id, caf::actor_cast<TaskManagerInterface>(actors_->task_manager)));
}

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
