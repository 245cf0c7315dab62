#pragma once
// Where elements lie in panels; include/apus_panels.h draws the layout.

#include "half.h"

/// Elements of a panel.
static inline size_t panel_elements(apus_dtype dtype, size_t k) {
    return APUS_PANEL * (dtype == APUS_BF16 ? rounded_up(k, 2) : k);
}

/// Element (lane, k) of a panel.
static inline size_t panel_at(apus_dtype dtype, size_t lane, size_t k) {
    return dtype == APUS_BF16 ? (k / 2 * APUS_PANEL + lane) * 2 + k % 2 : k * APUS_PANEL + lane;
}

/// The panel that feature n, a multiple of APUS_PANEL, begins.
static inline const void *panel_of(const void *panels, apus_dtype dtype, size_t n, size_t k) {
    return element(panels, dtype, n / APUS_PANEL * panel_elements(dtype, k));
}
