#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

namespace weir {

/// What makes a job's result depend on more than its input and state.
enum class CaughtCall : std::uint8_t {
  clock,   ///< reads the time
  random,  ///< draws a random number
  thread   ///< starts a thread
};

/// From here on, `heard` is told when code of the job (see `UserCode`) calls a function of the C library that reads the
/// clock, draws a random number or starts a thread, with the function's name; the call then goes on. `libweir.so` has
/// functions of these names, which programs and job libraries find before those of the C library. None: nobody is told.
/// `heard` must not call such functions. Threads: one at a time, while no code of a job runs; `heard` is called on any.
void catch_calls(std::function<void(CaughtCall call, std::string_view function)> heard);

/// While it lives, nobody is told what this thread calls: what works is not the job, though its code has asked for it, as
/// when its state is made. Threads: made and destroyed on one.
class UnheardCalls {
 public:
  UnheardCalls();
  ~UnheardCalls();
  UnheardCalls(const UnheardCalls&) = delete;
  UnheardCalls& operator=(const UnheardCalls&) = delete;

 private:
  const bool was_unheard_;
};

}  // namespace weir
