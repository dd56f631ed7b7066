#include "runtime/caught_calls.hpp"

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <ctime>
#include <dlfcn.h>
#include <pthread.h>
#include <random>
#include <sys/random.h>
#include <sys/time.h>
#include <unistd.h>
#include <utility>

#include "runtime/crash_reporter.hpp"

namespace weir {
namespace {

std::function<void(CaughtCall, std::string_view)> listener;
std::atomic<bool> is_heard = false;
/// Whoever is told may call such a function again, and so may what is not the job.
thread_local bool is_unheard = false;

/// The cost of a call that nobody wants to hear of: one load.
void tell(CaughtCall call, std::string_view function) {
  if (!is_heard.load(std::memory_order_relaxed) || is_unheard || !runs_user_code()) return;
  const UnheardCalls unheard;
  listener(call, function);
}

/// The function of that name behind this library, found once.
template <class F>
class Real {
 public:
  explicit constexpr Real(const char* name) : name_(name) {}
  F get() {
    void* found = found_.load(std::memory_order_acquire);
    if (found == nullptr) {
      found = ::dlsym(RTLD_NEXT, name_);
      if (found == nullptr) std::abort();
      found_.store(found, std::memory_order_release);
    }
    return reinterpret_cast<F>(found);
  }

 private:
  const char* name_;
  std::atomic<void*> found_ = nullptr;
};

}  // namespace

void catch_calls(std::function<void(CaughtCall, std::string_view)> heard) {
  is_heard = false;
  listener = std::move(heard);
  is_heard = listener != nullptr;
}

UnheardCalls::UnheardCalls() : was_unheard_(std::exchange(is_unheard, true)) {}
UnheardCalls::~UnheardCalls() { is_unheard = was_unheard_; }

}  // namespace weir

// A sanitizer has functions of these names itself, which must be the first that are found.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

extern "C" {

int clock_gettime(clockid_t clock, struct timespec* time) noexcept {
  static constinit weir::Real<int (*)(clockid_t, timespec*)> real("clock_gettime");
  weir::tell(weir::CaughtCall::clock, "clock_gettime");
  return real.get()(clock, time);
}

int gettimeofday(struct timeval* time, void* zone) noexcept {
  static constinit weir::Real<int (*)(timeval*, void*)> real("gettimeofday");
  weir::tell(weir::CaughtCall::clock, "gettimeofday");
  return real.get()(time, zone);
}

time_t time(time_t* into) noexcept {
  static constinit weir::Real<time_t (*)(time_t*)> real("time");
  weir::tell(weir::CaughtCall::clock, "time");
  return real.get()(into);
}

int rand() noexcept {
  static constinit weir::Real<int (*)()> real("rand");
  weir::tell(weir::CaughtCall::random, "rand");
  return real.get()();
}

long random() noexcept {
  static constinit weir::Real<long (*)()> real("random");
  weir::tell(weir::CaughtCall::random, "random");
  return real.get()();
}

double drand48() noexcept {
  static constinit weir::Real<double (*)()> real("drand48");
  weir::tell(weir::CaughtCall::random, "drand48");
  return real.get()();
}

ssize_t getrandom(void* into, size_t size, unsigned flags) {
  static constinit weir::Real<ssize_t (*)(void*, size_t, unsigned)> real("getrandom");
  weir::tell(weir::CaughtCall::random, "getrandom");
  return real.get()(into, size, flags);
}

int getentropy(void* into, size_t size) {
  static constinit weir::Real<int (*)(void*, size_t)> real("getentropy");
  weir::tell(weir::CaughtCall::random, "getentropy");
  return real.get()(into, size);
}

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*),
                   void* argument) noexcept {
  static constinit weir::Real<int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*)>
      real("pthread_create");
  weir::tell(weir::CaughtCall::thread, "pthread_create");
  return real.get()(thread, attributes, start, argument);
}

/// `std::random_device::_M_getval()`, which may ask the processor and no function.
unsigned weir_random_device_value(std::random_device* device) __asm__(
    "_ZNSt13random_device9_M_getvalEv");
__attribute__((visibility("default"))) unsigned weir_random_device_value(
    std::random_device* device) {
  static constinit weir::Real<unsigned (*)(std::random_device*)> real(
      "_ZNSt13random_device9_M_getvalEv");
  weir::tell(weir::CaughtCall::random, "std::random_device");
  return real.get()(device);
}
}

#endif
