#pragma once

#include <stdexcept>

namespace weir::testing {

/// The job has broken a promise. An exception, because a result could be dropped, and because every test framework shows
/// the whole text of one that leaves a test: `what()` has all there is to say, in lines.
class Failure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The test itself asks for what cannot be: one sentence, with what to do.
class BadUse : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

}  // namespace weir::testing
