#pragma once

/// Set by meson from the project's version.
#ifndef WEIR_VERSION
#define WEIR_VERSION "unknown"
#endif
