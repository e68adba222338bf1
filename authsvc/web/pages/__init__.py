"""What people see: pages that are drawn here, of views that say what stands on them."""
