// Part of libweir.so under the thread sanitizer, and only there (`./dev tsan`). Debian's libcaf_core.so is not
// instrumented: the sanitizer does not see the atomic operations by which CAF puts a message into a mailbox and
// hands an actor from one worker thread to the next, and would report each message as a race. The functions here
// stand in front of CAF's own, because libweir.so comes first in the order of the dynamic linker; they tell the
// sanitizer what is handed over, and call the original. What an actor shares with others past its mailbox is
// reported, unless whoever shares it sends the actor a message as well before that goes on: the sanitizer takes
// whatever came before any message of the mailbox as known to its actor.
#include <cstdlib>
#include <dlfcn.h>
#include <utility>

#include <caf/all.hpp>
#include <sanitizer/tsan_interface.h>

namespace {

/// The function of this name in the libraries that come after this one. Another release of CAF, in which
/// there is none, is noticed at once.
template <class Function>
Function original(const char* mangled) {
  void* const found = dlsym(RTLD_NEXT, mangled);
  if (found == nullptr) std::abort();
  return reinterpret_cast<Function>(found);
}

/// Who gives up a reference has done with the actor, and if it was the last one, so have all others.
void give_up(caf::actor_control_block* actor) {
  __tsan_release(&actor->strong_refs);
  __tsan_acquire(&actor->strong_refs);
}

}  // namespace

namespace caf {

// --- messages: into a mailbox, and out of it -----------------------------------------------------

void scheduled_actor::enqueue(mailbox_element_ptr element, execution_unit* host) {
  static const auto call = original<void (*)(scheduled_actor*, mailbox_element_ptr,
                                             execution_unit*)>(
      "_ZN3caf15scheduled_actor7enqueueESt10unique_ptrINS_15mailbox_elementENS_6detail8disposerEE"
      "PNS_14execution_unitE");
  __tsan_release(ctrl());
  call(this, std::move(element), host);
}

void blocking_actor::enqueue(mailbox_element_ptr element, execution_unit* host) {
  static const auto call = original<void (*)(blocking_actor*, mailbox_element_ptr,
                                             execution_unit*)>(
      "_ZN3caf14blocking_actor7enqueueESt10unique_ptrINS_15mailbox_elementENS_6detail8disposerEE"
      "PNS_14execution_unitE");
  __tsan_release(ctrl());
  call(this, std::move(element), host);
}

void blocking_actor::await_data() {
  static const auto call =
      original<void (*)(blocking_actor*)>("_ZN3caf14blocking_actor10await_dataEv");
  call(this);
  __tsan_acquire(ctrl());
}

// --- an actor: from the thread that spawns it to a worker, and from worker to worker -------------
// A worker lets an actor go somewhere inside `resume`: whatever ran before is released right after it.

void scheduled_actor::launch(execution_unit* host, bool lazy, bool hide) {
  static const auto call = original<void (*)(scheduled_actor*, execution_unit*, bool, bool)>(
      "_ZN3caf15scheduled_actor6launchEPNS_14execution_unitEbb");
  __tsan_release(ctrl());
  call(this, host, lazy, hide);
}

resumable::resume_result scheduled_actor::resume(execution_unit* host, std::size_t throughput) {
  static const auto call =
      original<resume_result (*)(scheduled_actor*, execution_unit*, std::size_t)>(
          "_ZN3caf15scheduled_actor6resumeEPNS_14execution_unitEm");
  __tsan_acquire(ctrl());
  return call(this, host, throughput);
}

bool scheduled_actor::activate(execution_unit* host) {
  static const auto call = original<bool (*)(scheduled_actor*, execution_unit*)>(
      "_ZN3caf15scheduled_actor8activateEPNS_14execution_unitE");
  const bool alive = call(this, host);
  __tsan_release(ctrl());
  return alive;
}

scheduled_actor::activation_result scheduled_actor::reactivate(mailbox_element& element) {
  static const auto call = original<activation_result (*)(scheduled_actor*, mailbox_element&)>(
      "_ZN3caf15scheduled_actor10reactivateERNS_15mailbox_elementE");
  __tsan_acquire(ctrl());
  const activation_result result = call(this, element);
  __tsan_release(ctrl());
  return result;
}

// --- the last owner of an actor destroys it ------------------------------------------------------

void intrusive_ptr_release(actor_control_block* actor) {
  static const auto call = original<void (*)(actor_control_block*)>(
      "_ZN3caf21intrusive_ptr_releaseEPNS_19actor_control_blockE");
  give_up(actor);
  call(actor);
}

void intrusive_ptr_release_weak(actor_control_block* actor) {
  static const auto call = original<void (*)(actor_control_block*)>(
      "_ZN3caf26intrusive_ptr_release_weakEPNS_19actor_control_blockE");
  give_up(actor);
  call(actor);
}

void local_actor::on_destroy() {
  static const auto call = original<void (*)(local_actor*)>("_ZN3caf11local_actor10on_destroyEv");
  __tsan_acquire(&ctrl()->strong_refs);
  __tsan_acquire(ctrl());
  call(this);
}

}  // namespace caf
