#pragma once

#include <string>

namespace weir {

/// An operator as sentences name it: `operator 'sums'`, or, if its uid is a generated one, which alone
/// says little, `operator 'map' (uid 'generated-3')`. `Named` has `uid`, `generated_uid` and `name`, as
/// `OperatorDescription` and `OperatorSnapshot` have.
template <class Named>
[[nodiscard]] std::string operator_label(const Named& one) {
  if (!one.generated_uid) return "operator '" + one.uid + "'";
  return "operator '" + one.name + "' (uid '" + one.uid + "')";
}

}  // namespace weir
