# A stand-in for the product's own bootstrap/install.ps1, so that tests of the control plane depend on the contract of a
# template only: a hashtable of the values and one of the wrappers.
& {
    function Get-Value {
        @{
            # @@VALUES@@
        }
    }

    function Get-Wrapper {
        @{
            # @@WRAPPERS@@
        }
    }

    Get-Value
}
