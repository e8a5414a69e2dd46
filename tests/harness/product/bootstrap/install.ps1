# A stand-in for the product's own bootstrap/install.ps1, so that tests of the control plane depend on the contract of a
# template only: a hashtable of the values.
& {
    # @@programs@@

    function Get-Value {
        @{
            # @@VALUES@@
        }
    }

    Get-Value
}
